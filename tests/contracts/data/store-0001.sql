BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE events (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	time DOUBLE NOT NULL, 
	service_key TEXT NOT NULL, 
	record TEXT NOT NULL
);
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('installation','880122bed801');
CREATE TABLE removed (
	folder TEXT NOT NULL, 
	model TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	CONSTRAINT pk_removed PRIMARY KEY (folder, model)
);
INSERT INTO "removed" VALUES('/srv/models/x','m','d',3.0);
CREATE TABLE revisions (
	service_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	cause TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	spec TEXT NOT NULL, 
	CONSTRAINT pk_revisions PRIMARY KEY (service_id, number)
);
INSERT INTO "revisions" VALUES('s1',1,'4202a40aee36','its definition appeared in /srv/models/echo',1.5,'{"name":"echo","model_name":"m","routing":{"model_name":"m","model_folder":"/m","model_path":"/models","model_mount":"/models","model_read_only":false,"image":"a","command":null,"shell":"default","port":80,"actions":[],"environ":{},"secrets":{},"resources":{"cpu":Infinity},"resource_group":"default","cluster_mode":"single-node","cluster_size":1,"mounts":[],"user":null,"network":null,"hostname":null,"labels":{},"devices":[],"capabilities":[]},"desired":2,"open_to_public":false,"health":null,"endpoint":{"port":null,"host":null},"start_timeout":1800.0,"unhealthy_timeout":60.0,"stop_grace":30.0,"retry":true,"metadata":{}}');
INSERT INTO "revisions" VALUES('s1',2,'26f1fb376fbe','its definition changed: new routings take over',2.5,'{"name":"echo","model_name":"m","routing":{"model_name":"m","model_folder":"/m","model_path":"/models","model_mount":"/models","model_read_only":false,"image":"b","command":null,"shell":"default","port":80,"actions":[],"environ":{"K":"\u2603"},"secrets":{},"resources":{},"resource_group":"default","cluster_mode":"single-node","cluster_size":1,"mounts":[],"user":null,"network":null,"hostname":null,"labels":{},"devices":[],"capabilities":[]},"desired":2,"open_to_public":false,"health":null,"endpoint":{"port":null,"host":null},"start_timeout":1800.0,"unhealthy_timeout":60.0,"stop_grace":30.0,"retry":true,"metadata":{}}');
CREATE TABLE routings (
	id TEXT NOT NULL, 
	service_id TEXT NOT NULL, 
	record TEXT NOT NULL, 
	CONSTRAINT pk_routings PRIMARY KEY (id), 
	CONSTRAINT fk_routings_service_id FOREIGN KEY(service_id) REFERENCES services (id) ON DELETE CASCADE
);
INSERT INTO "routings" VALUES('r1','s1','{"id":"r1","service_id":"s1","service":"echo","revision":"26f1fb376fbe","created_at":2.5,"cause":"wanted","reservation":{"group":"default","slots":{"cpu":1.0},"devices":[]},"unit_created_at":3.0,"started_at":4.0,"probe":{"passed_once":true,"healthy":true,"failures":0,"unhealthy_since":null,"healthy_since":5.0,"last_at":null,"last_message":""},"stopping_since":null,"stop_cause":"","failure":null,"traffic_ratio":1.0}');
CREATE TABLE services (
	id TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	record TEXT NOT NULL, 
	CONSTRAINT pk_services PRIMARY KEY (id), 
	CONSTRAINT uq_services_name_key UNIQUE (name_key)
);
INSERT INTO "services" VALUES('s1','echo','{"id":"s1","name":"echo","source":"folder","folder":"/srv/models/echo","model":"m","spec":{"name":"echo","model_name":"m","routing":{"model_name":"m","model_folder":"/m","model_path":"/models","model_mount":"/models","model_read_only":false,"image":"b","command":null,"shell":"default","port":80,"actions":[],"environ":{"K":"\u2603"},"secrets":{},"resources":{},"resource_group":"default","cluster_mode":"single-node","cluster_size":1,"mounts":[],"user":null,"network":null,"hostname":null,"labels":{},"devices":[],"capabilities":[]},"desired":2,"open_to_public":false,"health":null,"endpoint":{"port":null,"host":null},"start_timeout":1800.0,"unhealthy_timeout":60.0,"stop_grace":30.0,"retry":true,"metadata":{}},"revision_number":2,"created_at":1.25,"owner":"admin","project":"default","problems":[],"override_desired":3,"override_over":null,"attempts":{"revision":"26f1fb376fbe","count":1,"last_at":3.0},"cleared_at":0.0,"vanished_since":null,"held":"","digest":"","launch":null,"removing":false}');
CREATE TABLE tokens (
	id TEXT NOT NULL, 
	service_key TEXT NOT NULL, 
	service TEXT NOT NULL, 
	name TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	issued_at DOUBLE NOT NULL, 
	expires_at DOUBLE, 
	kid TEXT NOT NULL, 
	revoked_at DOUBLE, 
	last_used_at DOUBLE, 
	CONSTRAINT pk_tokens PRIMARY KEY (id)
);
CREATE INDEX ix_routings_service_id ON routings (service_id);
CREATE INDEX ix_events_service_key_seq ON events (service_key, seq);
CREATE INDEX ix_tokens_service_key ON tokens (service_key);
COMMIT;
