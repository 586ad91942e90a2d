-- A home as version 0.1 left it (commit 7938b08), made by its own functions: a job in each state, the running one
-- with a checkpoint, keys of a client, a form and an id, an exploration, a rating, deliveries, a token, a worker.
-- Its photograph is samples/street.jpg, its paintings are mosaic.jpg and brushwork.jpg. Only the day was set back.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	worker VARCHAR(120) NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	outcome VARCHAR(32), 
	CONSTRAINT pk_attempts PRIMARY KEY (id), 
	CONSTRAINT fk_attempts_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT uq_attempts_job_id UNIQUE (job_id, number)
);
INSERT INTO "attempts" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,'worker@old','2025-11-26 18:55:07.004675','2025-11-26 18:55:07.052616','succeeded');
INSERT INTO "attempts" VALUES(2,'a3741af4f88741b1b292d21840463563',1,'worker@old','2025-11-26 18:55:07.195951','2025-11-26 18:55:07.234626','failed');
INSERT INTO "attempts" VALUES(3,'8c101c3752b0475e92419d57827931a9',1,'worker@old','2025-11-26 18:55:07.432431',NULL,NULL);
INSERT INTO "attempts" VALUES(4,'27b5ade6e9644d4e8f81b6dc2bf6565d',1,'worker@old','2025-11-26 18:55:07.559727',NULL,NULL);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	attempt INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, 
	due_at DATETIME, 
	tries INTEGER NOT NULL, 
	answer VARCHAR(200), 
	delivered_at DATETIME, 
	CONSTRAINT pk_deliveries PRIMARY KEY (id), 
	CONSTRAINT fk_deliveries_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,'succeeded','2025-11-26 18:55:07.049947',NULL,1,'204 No Content','2025-11-26 18:55:07.110641');
INSERT INTO "deliveries" VALUES(2,'a3741af4f88741b1b292d21840463563',1,'failed','2025-11-26 18:55:07.225193','2025-11-26 18:55:17.452698',1,'500 Internal Server Error',NULL);
INSERT INTO "deliveries" VALUES(3,'bce9bc1f980f4aa081c3e8c23de8f965',0,'cancelled','2025-11-26 18:55:07.333340','2025-11-26 18:57:07.345254',1,'being sent',NULL);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	attempt INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	message VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a',0,'queued','submitted','2025-11-26 18:55:06.952711');
INSERT INTO "events" VALUES(2,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,'running','taken by worker@old','2025-11-26 18:55:06.976352');
INSERT INTO "events" VALUES(3,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,'succeeded','finished','2025-11-26 18:55:07.051996');
INSERT INTO "events" VALUES(4,'a3741af4f88741b1b292d21840463563',0,'queued','submitted','2025-11-26 18:55:07.176151');
INSERT INTO "events" VALUES(5,'a3741af4f88741b1b292d21840463563',1,'running','taken by worker@old','2025-11-26 18:55:07.185379');
INSERT INTO "events" VALUES(6,'a3741af4f88741b1b292d21840463563',1,'failed','The picture could not be read.','2025-11-26 18:55:07.234096');
INSERT INTO "events" VALUES(7,'bce9bc1f980f4aa081c3e8c23de8f965',0,'queued','submitted','2025-11-26 18:55:07.323440');
INSERT INTO "events" VALUES(8,'bce9bc1f980f4aa081c3e8c23de8f965',0,'cancelled','cancelled','2025-11-26 18:55:07.342263');
INSERT INTO "events" VALUES(9,'8c101c3752b0475e92419d57827931a9',0,'queued','submitted','2025-11-26 18:55:07.422644');
INSERT INTO "events" VALUES(10,'8c101c3752b0475e92419d57827931a9',1,'running','taken by worker@old','2025-11-26 18:55:07.429845');
INSERT INTO "events" VALUES(11,'8c101c3752b0475e92419d57827931a9',1,'cancelling','cancellation asked for','2025-11-26 18:55:07.465593');
INSERT INTO "events" VALUES(12,'27b5ade6e9644d4e8f81b6dc2bf6565d',0,'queued','submitted','2025-11-26 18:55:07.539609');
INSERT INTO "events" VALUES(13,'27b5ade6e9644d4e8f81b6dc2bf6565d',1,'running','taken by worker@old','2025-11-26 18:55:07.548510');
INSERT INTO "events" VALUES(14,'ebeffa4dcc4248bebd6fcec7d6b79ee8',0,'queued','submitted','2025-11-26 18:55:07.663999');
INSERT INTO "events" VALUES(15,'dddddddddddddddddddddddddddddddd',0,'queued','submitted','2025-11-26 18:55:07.739488');
INSERT INTO "events" VALUES(16,'d79ab435ddaa4bfbbcc2013324cf86d2',0,'queued','submitted','2025-11-26 18:55:07.803397');
INSERT INTO "events" VALUES(17,'0e9c4c59d4c14e5884d7a79f97364222',0,'queued','submitted','2025-11-26 18:55:07.892766');
INSERT INTO "events" VALUES(18,'50661c08ea404ed3869124534568eb01',0,'queued','submitted','2025-11-26 18:55:07.901039');
INSERT INTO "events" VALUES(19,'fcf3b319e2e94c35b706b088d75648e3',0,'queued','submitted','2025-11-26 18:55:07.912061');
INSERT INTO "events" VALUES(20,'e08a95c95eac4cd29c93a63e841e24c5',0,'queued','submitted','2025-11-26 18:55:07.917800');
CREATE TABLE explorations (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	recipe JSON NOT NULL, 
	across JSON NOT NULL, 
	down JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_explorations PRIMARY KEY (id)
);
INSERT INTO "explorations" VALUES('3432d747b7a74df5a8b7eb5183b250ed','Grid','{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','{"name": "balance", "title": "Balance", "labels": ["more photograph", "more painting"], "settings": [{"content_weight": 0.2}, {"content_weight": 0.05}]}','{"name": "style_scale", "title": "Size of strokes", "labels": ["strokes \u00d7 1", "strokes \u00d7 2"], "settings": [{"style_scale": 1.0}, {"style_scale": 2.0}]}','2025-11-26 18:55:07.876232');
CREATE TABLE job_styles (
	job_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_job_styles PRIMARY KEY (job_id, position), 
	CONSTRAINT fk_job_styles_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT fk_job_styles_sha256_uploads FOREIGN KEY(sha256) REFERENCES uploads (sha256)
);
INSERT INTO "job_styles" VALUES('ea516ac0be4e4b0592bd2e85b7ccf21a',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('ea516ac0be4e4b0592bd2e85b7ccf21a',1,'e25adc1e39c57d9e47dbcbb044a97db03e9ae14c02dd9617689d178d4093e598');
INSERT INTO "job_styles" VALUES('a3741af4f88741b1b292d21840463563',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('bce9bc1f980f4aa081c3e8c23de8f965',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('8c101c3752b0475e92419d57827931a9',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('27b5ade6e9644d4e8f81b6dc2bf6565d',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('ebeffa4dcc4248bebd6fcec7d6b79ee8',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('dddddddddddddddddddddddddddddddd',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('d79ab435ddaa4bfbbcc2013324cf86d2',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('0e9c4c59d4c14e5884d7a79f97364222',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('50661c08ea404ed3869124534568eb01',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('fcf3b319e2e94c35b706b088d75648e3',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
INSERT INTO "job_styles" VALUES('e08a95c95eac4cd29c93a63e841e24c5',0,'60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db');
CREATE TABLE "jobs" (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	work_class VARCHAR(16) NOT NULL, 
	priority INTEGER NOT NULL, 
	recipe JSON NOT NULL, 
	content_sha256 VARCHAR(64) NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	ticket_at DATETIME, 
	attempt INTEGER NOT NULL, 
	lease_until DATETIME, 
	progress DOUBLE NOT NULL, 
	level INTEGER NOT NULL, 
	levels INTEGER NOT NULL, 
	iteration INTEGER NOT NULL, 
	iterations INTEGER NOT NULL, 
	eta_seconds DOUBLE, 
	preview_version INTEGER NOT NULL, 
	features VARCHAR(32), 
	metrics JSON, 
	error VARCHAR, 
	counts_after INTEGER DEFAULT '0' NOT NULL, 
	checkpoint_attempt INTEGER, 
	idempotency_key VARCHAR(200), 
	request_sha256 VARCHAR(64), 
	name_folded VARCHAR(240) DEFAULT '' NOT NULL, 
	version INTEGER DEFAULT '0' NOT NULL, 
	exploration_id VARCHAR(32), 
	cell INTEGER, 
	look_sha256 VARCHAR(64), 
	webhook_url VARCHAR(1000), 
	eta_spread_seconds DOUBLE, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT ck_jobs_progress_is_a_share CHECK (progress >= 0 AND progress <= 1), 
	CONSTRAINT fk_jobs_content_sha256_uploads FOREIGN KEY(content_sha256) REFERENCES uploads (sha256), 
	CONSTRAINT fk_jobs_exploration_id_explorations FOREIGN KEY(exploration_id) REFERENCES explorations (id) ON DELETE CASCADE
);
INSERT INTO "jobs" VALUES('ea516ac0be4e4b0592bd2e85b7ccf21a','Succeeded','succeeded','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:06.942652','2025-11-26 18:55:06.966392','2025-11-26 18:55:07.042687',NULL,1,NULL,1.0,1,1,20,100,0.0,2,'vgg16','{"ssim": 0.5, "seconds": 12.5, "peak_memory_bytes": 1000000000}',NULL,0,NULL,NULL,NULL,'succeeded',6,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01','https://hook.example/told',1.0);
INSERT INTO "jobs" VALUES('a3741af4f88741b1b292d21840463563','Failed','failed','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.169463','2025-11-26 18:55:07.182611','2025-11-26 18:55:07.222653',NULL,1,NULL,0.2,1,1,20,100,9.0,1,'vgg16','null','The picture could not be read.',0,NULL,NULL,NULL,'failed',6,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01','https://hook.example/told',1.0);
INSERT INTO "jobs" VALUES('bce9bc1f980f4aa081c3e8c23de8f965','Cancelled','cancelled','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.313179',NULL,'2025-11-26 18:55:07.331106',NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,NULL,NULL,'cancelled',1,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01','https://hook.example/told',NULL);
INSERT INTO "jobs" VALUES('8c101c3752b0475e92419d57827931a9','Cancelling','cancelling','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.413080','2025-11-26 18:55:07.424110',NULL,NULL,1,'2025-11-26 18:56:07.424115',0.2,1,1,20,100,9.0,1,'vgg16','null',NULL,0,NULL,NULL,NULL,'cancelling',6,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01',NULL,1.0);
INSERT INTO "jobs" VALUES('27b5ade6e9644d4e8f81b6dc2bf6565d','Running','running','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.537711','2025-11-26 18:55:07.545787',NULL,NULL,1,'2025-11-26 18:56:07.545794',0.2,1,1,20,100,9.0,1,'vgg16','null',NULL,0,1,NULL,NULL,'running',6,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01',NULL,1.0);
INSERT INTO "jobs" VALUES('ebeffa4dcc4248bebd6fcec7d6b79ee8','Queued','queued','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.652906',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,'order 7','cab00f00d35a1220cb9361bfbc73444f4149a0790c01d0cb558749c68c0c0939','queued',0,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01',NULL,NULL);
INSERT INTO "jobs" VALUES('dddddddddddddddddddddddddddddddd','Queued under an id','queued','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.733230',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,'id dddddddddddddddddddddddddddddddd','85a8e8104388fc8565d2b3ee8719554e970ce8805351e5117b1f822c7f786d5b','queued under an id',0,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01',NULL,NULL);
INSERT INTO "jobs" VALUES('d79ab435ddaa4bfbbcc2013324cf86d2','Queued by a form','queued','preview',0,'{"size": 128, "preset": "draft", "format": "png", "content_weight": 0.1, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 128, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',128,96,'2025-11-26 18:55:07.797149',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,'form ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','fe927736cae74d64eb363499dae9744c21eb2c53420c231a3f10345b31159b24','queued by a form',0,NULL,NULL,'278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01',NULL,NULL);
INSERT INTO "jobs" VALUES('0e9c4c59d4c14e5884d7a79f97364222','Grid','queued','preview',0,'{"size": 96, "preset": "draft", "format": "jpeg", "content_weight": 0.2, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 96, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',96,72,'2025-11-26 18:55:07.884067',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,'grid 7','6e0a101939cef6becf6cb996bdde9065d605d995fbe3d87747698d90e15b35a9','grid',0,'3432d747b7a74df5a8b7eb5183b250ed',0,'09dc6c8c014c61fdc7cf4d263914707ede0f346556554735c434ab5910a29c07',NULL,NULL);
INSERT INTO "jobs" VALUES('50661c08ea404ed3869124534568eb01','Grid','queued','preview',0,'{"size": 96, "preset": "draft", "format": "jpeg", "content_weight": 0.05, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 1.0, "blend": null, "start_size": 96, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',96,72,'2025-11-26 18:55:07.892231',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,NULL,NULL,'grid',0,'3432d747b7a74df5a8b7eb5183b250ed',1,'2f3a2a77fa6f9b424b9bc03cb74c36ad9844d475e847c635062bf9854f2948c1',NULL,NULL);
INSERT INTO "jobs" VALUES('fcf3b319e2e94c35b706b088d75648e3','Grid','queued','preview',0,'{"size": 96, "preset": "draft", "format": "jpeg", "content_weight": 0.2, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 2.0, "blend": null, "start_size": 96, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',96,72,'2025-11-26 18:55:07.900577',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,NULL,NULL,'grid',0,'3432d747b7a74df5a8b7eb5183b250ed',2,'2e8cf4ad5055fa09850b97365fc2f6a96518f8f006e897e00ac5ad63a3882a52',NULL,NULL);
INSERT INTO "jobs" VALUES('e08a95c95eac4cd29c93a63e841e24c5','Grid','queued','preview',0,'{"size": 96, "preset": "draft", "format": "jpeg", "content_weight": 0.05, "style_weight": 1.0, "tv_weight": 2.0, "content_layers": {"relu4_2": 1.0}, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}, "style_loss": "wasserstein", "style_scale": 2.0, "blend": null, "start_size": 96, "iterations": null, "tolerance": 0.0, "optimizer": "adam", "init": "content", "seed": 0, "precision": "auto", "features": "auto"}','fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',96,72,'2025-11-26 18:55:07.911579',NULL,NULL,NULL,0,NULL,0.0,0,0,0,0,NULL,0,NULL,NULL,NULL,0,NULL,NULL,NULL,'grid',0,'3432d747b7a74df5a8b7eb5183b250ed',3,'8fd32c39349899d9c9fe147b40c961d12947ada5ce851acb6c67ad34002ecc1d',NULL,NULL);
CREATE TABLE log_lines (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	attempt INTEGER NOT NULL, 
	text VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_log_lines PRIMARY KEY (id), 
	CONSTRAINT fk_log_lines_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "log_lines" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,'vgg16 on CPU, 2 threads','2025-11-26 18:55:07.020019');
INSERT INTO "log_lines" VALUES(2,'a3741af4f88741b1b292d21840463563',1,'vgg16 on CPU, 2 threads','2025-11-26 18:55:07.203607');
INSERT INTO "log_lines" VALUES(3,'8c101c3752b0475e92419d57827931a9',1,'vgg16 on CPU, 2 threads','2025-11-26 18:55:07.443636');
INSERT INTO "log_lines" VALUES(4,'27b5ade6e9644d4e8f81b6dc2bf6565d',1,'vgg16 on CPU, 2 threads','2025-11-26 18:55:07.567501');
CREATE TABLE loss_points (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	attempt INTEGER NOT NULL, 
	level INTEGER NOT NULL, 
	iteration INTEGER NOT NULL, 
	content DOUBLE NOT NULL, 
	style DOUBLE NOT NULL, 
	tv DOUBLE NOT NULL, 
	CONSTRAINT pk_loss_points PRIMARY KEY (id), 
	CONSTRAINT fk_loss_points_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "loss_points" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,1,10,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(2,'ea516ac0be4e4b0592bd2e85b7ccf21a',1,1,20,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(3,'a3741af4f88741b1b292d21840463563',1,1,10,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(4,'a3741af4f88741b1b292d21840463563',1,1,20,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(5,'8c101c3752b0475e92419d57827931a9',1,1,10,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(6,'8c101c3752b0475e92419d57827931a9',1,1,20,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(7,'27b5ade6e9644d4e8f81b6dc2bf6565d',1,1,10,0.5,0.25,0.125);
INSERT INTO "loss_points" VALUES(8,'27b5ade6e9644d4e8f81b6dc2bf6565d',1,1,20,0.5,0.25,0.125);
CREATE TABLE ratings (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	rater VARCHAR(64) NOT NULL, 
	stars INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_ratings PRIMARY KEY (id), 
	CONSTRAINT ck_ratings_one_to_five_stars CHECK (stars >= 1 AND stars <= 5), 
	CONSTRAINT fk_ratings_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT uq_ratings_job_id UNIQUE (job_id, rater)
);
INSERT INTO "ratings" VALUES(1,'ea516ac0be4e4b0592bd2e85b7ccf21a','ann',4,'2025-11-26 18:55:07.073100');
CREATE TABLE tokens (
	name VARCHAR(80) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	used_at DATETIME, 
	CONSTRAINT pk_tokens PRIMARY KEY (name), 
	CONSTRAINT uq_tokens_sha256 UNIQUE (sha256)
);
INSERT INTO "tokens" VALUES('Ada','fa020b05aa99887afd9dfadf87e27241b6f57e1c49c97eda2f225a0ef8d9e144','2025-11-26 18:55:07.994964',NULL);
CREATE TABLE "uploads" (
	sha256 VARCHAR(64) NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	sent_at DATETIME NOT NULL, 
	CONSTRAINT pk_uploads PRIMARY KEY (sha256)
);
INSERT INTO "uploads" VALUES('60beba1a169bc5cfcd85234d1d947ed7dbad5a382b33e54a9cc8cec9864249db',1024,1024,435546,'2025-11-26 18:55:06.816024','2025-11-26 18:55:07.834583');
INSERT INTO "uploads" VALUES('e25adc1e39c57d9e47dbcbb044a97db03e9ae14c02dd9617689d178d4093e598',1024,820,311496,'2025-11-26 18:55:06.822958','2025-11-26 18:55:06.822964');
INSERT INTO "uploads" VALUES('fbbd95d7bddc69886ae2b9d97820937ec9b0b95026d96d47117a2146a67d3df6',1280,960,377145,'2025-11-26 18:55:06.824733','2025-11-26 18:55:07.835408');
CREATE TABLE "workers" (
	name VARCHAR(120) NOT NULL, 
	device VARCHAR(120) NOT NULL, 
	memory_bytes BIGINT NOT NULL, 
	started_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	device_kind VARCHAR(8) NOT NULL, 
	itemsize INTEGER NOT NULL, 
	winograd BOOLEAN NOT NULL, 
	budget_bytes BIGINT NOT NULL, 
	seconds_per_megapixel DOUBLE, 
	CONSTRAINT pk_workers PRIMARY KEY (name)
);
INSERT INTO "workers" VALUES('worker@old','CPU, 2 threads',8000000000,'2025-11-26 18:55:05.616520','2025-11-26 18:55:05.601771','cpu',4,1,6000000000,1.5);
CREATE INDEX ix_events_job_id ON events (job_id);
CREATE INDEX ix_loss_points_job_id ON loss_points (job_id);
CREATE INDEX ix_jobs_waiting ON jobs (state, work_class, priority, created_at);
CREATE UNIQUE INDEX ix_jobs_idempotency_key ON jobs (idempotency_key);
CREATE INDEX ix_jobs_newest ON jobs (exploration_id, created_at, id, name_folded);
CREATE INDEX ix_jobs_of_state ON jobs (exploration_id, state, created_at, id, name_folded);
CREATE INDEX ix_jobs_by_name ON jobs (exploration_id, name_folded, id, state);
CREATE INDEX ix_jobs_look_sha256 ON jobs (look_sha256);
CREATE INDEX ix_log_lines_job_id ON log_lines (job_id);
CREATE INDEX ix_deliveries_job_id ON deliveries (job_id);
CREATE INDEX ix_deliveries_due_at ON deliveries (due_at);
COMMIT;
