"""The API by what is asked: one class a resource, one method a route. `client.client` puts them together."""
