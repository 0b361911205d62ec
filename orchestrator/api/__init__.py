"""Control API: one table of routes over a Control (what the daemon can be asked). `orchestrator.api.app` puts it up."""
