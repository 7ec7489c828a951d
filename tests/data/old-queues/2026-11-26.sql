BEGIN TRANSACTION;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "facts" VALUES('paused','1');
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, kind TEXT NOT NULL, character TEXT NOT NULL,
    slug TEXT NOT NULL, state TEXT NOT NULL, arguments TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    place REAL NOT NULL, run TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '{}', wish TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "jobs" VALUES(1,'light','audit','mara','mara','finished','{"accept": false, "drop": [], "keep": [], "resolution": 128, "undecided": []}',1.79580082313326907e+09,1.79580082365123987e+09,1.79580082371199631e+09,0.0,'','','{"photos": 8}','','',0);
INSERT INTO "jobs" VALUES(2,'light','fill','mara','mara','running','{"captioner": "", "only": [], "rewrite": false}',1795800823.188,1.79580082375605034e+09,NULL,1.0,'','','{}','','one who is gone',999998);
INSERT INTO "jobs" VALUES(3,'heavy','train','mara','mara','waiting','{"base": "/models/mini-face.safetensors", "few": true, "prediction": null, "preset": null, "run": null, "settings": {"learning_rate": 0.0002, "steps": 8}, "steps": null, "then_test": false}',1.79580082326485228e+09,NULL,NULL,3.0,'','','{}','','',0);
INSERT INTO "jobs" VALUES(4,'heavy','train','mara','mara','waiting','{"base": null, "few": false, "prediction": null, "preset": null, "run": "001", "settings": {}, "steps": 10, "then_test": false}',1.79580082331110358e+09,NULL,NULL,2.0,'','','{}','','',0);
INSERT INTO "jobs" VALUES(5,'heavy','test','mara','mara','waiting','{"again": false, "base": null, "cfg": null, "first_seed": 1000, "grid_steps": 20, "painter": "worker", "quick": false, "run": "001", "sampler": "Euler", "side": null, "step": null, "weight": 1.0}',1.79580082339213085e+09,NULL,NULL,4.0,'','','{}','','',0);
INSERT INTO "jobs" VALUES(6,'heavy','probe','mara','mara','waiting','{"base": "/models/mini-face.safetensors", "preset": null, "settings": {}}',1.79580082347563934e+09,NULL,NULL,5.0,'','','{}','','',0);
INSERT INTO "jobs" VALUES(7,'heavy','choose','mara','mara','waiting','{"grid_steps": 20, "painter": "worker", "run": "001", "steps": null, "weights": [0.6, 0.8, 1.0]}',1.79580082351081013e+09,NULL,NULL,6.0,'','','{}','','',0);
CREATE INDEX jobs_by_state ON jobs (state, place);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',7);
COMMIT;
PRAGMA user_version = 1;
