BEGIN TRANSACTION;
CREATE TABLE agent_steps (
    request_id TEXT NOT NULL REFERENCES task (request_id),
    step_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'success', 'failed')),
    input_hash TEXT NOT NULL,
    output_data TEXT,
    error_code TEXT,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL,
    tool TEXT,
    call_id TEXT NOT NULL,
    effect_class TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    input_data TEXT,
    finished_at REAL,
    undoes INTEGER,
    PRIMARY KEY (request_id, step_id, attempt)
) WITHOUT ROWID;
INSERT INTO "agent_steps" VALUES('answers',1,1,'success','232d871a285c4f3993728f8b38cd794832f043a6c4d9f44d602bfbc5a2104b5e','{"calls":[{"arguments":"{\"order\": 7}","id":"c0-orders_lookup","name":"orders.lookup"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','answers:1',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('answers',2,1,'success','8bcbace4a85bfd655264d50663d1000092824d9421d416b685402a8a18ea32d3','{"amount":20,"currency":"EUR","order":7,"refundable":true}',NULL,1000.0,'tool','orders.lookup','c0-orders_lookup','pure','answers:2','{"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('answers',3,1,'success','e458d9e62fc5e96909e108485db45ddab85b6541b5d24432f108214dd0e7af94','{"calls":[{"arguments":"{\"order\": 7, \"amount\": 20}","id":"c0-payments_refund","name":"payments.refund"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','answers:3',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('answers',4,1,'success','fab1c290ab716ab3ba625282aaf34378e319a278fc093a1c854e7ff672282825','{"refund_id":"R-answers:4"}',NULL,1000.0,'tool','payments.refund','c0-payments_refund','idempotent','answers:4','{"amount":20,"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('answers',5,1,'pending','b1d06265bde7aedb364c94e42a856248494c535f5095dbbbbf3655228f63a9ec',NULL,NULL,1000.0,'model',NULL,'','pure','answers:5',NULL,NULL,NULL);
INSERT INTO "agent_steps" VALUES('asks-model',1,1,'pending','e14cee36c95341c9460c4cd89c9101f73d93bb05cb0bf15f9b09e41848987847',NULL,NULL,1000.0,'model',NULL,'','pure','asks-model:1',NULL,NULL,NULL);
INSERT INTO "agent_steps" VALUES('done',1,1,'success','43502a974a3df675c7c9eac69b13e06fe6d21efb69ebd392974841925b474f70','{"calls":[{"arguments":"{\"order\": 7}","id":"c0-orders_lookup","name":"orders.lookup"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','done:1',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('done',2,1,'success','8bcbace4a85bfd655264d50663d1000092824d9421d416b685402a8a18ea32d3','{"amount":20,"currency":"EUR","order":7,"refundable":true}',NULL,1000.0,'tool','orders.lookup','c0-orders_lookup','pure','done:2','{"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('done',3,1,'success','1cb2941dd6df0df0cf43473cec55da479a1f9681cfbe0c93c9e2b746d9caaeaa','{"calls":[{"arguments":"{\"order\": 7, \"amount\": 20}","id":"c0-payments_refund","name":"payments.refund"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','done:3',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('done',4,1,'success','fab1c290ab716ab3ba625282aaf34378e319a278fc093a1c854e7ff672282825','{"refund_id":"R-done:4"}',NULL,1000.0,'tool','payments.refund','c0-payments_refund','idempotent','done:4','{"amount":20,"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('done',5,1,'success','42cb01df6904bdef94ada0177b86b90f91ccba3c34089d839720c47cec9b7478','{"calls":[],"finish":"stop","text":"Refunded.","usage":null}',NULL,1000.0,'model',NULL,'','pure','done:5',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('doubt',1,1,'success','420b0db55b1d2948a275b58a072c990a9836fa6ea0bb2746c3bf2d2c4ad171fc','{"calls":[{"arguments":"{\"order\": 7}","id":"c0-orders_lookup","name":"orders.lookup"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','doubt:1',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('doubt',2,1,'success','8bcbace4a85bfd655264d50663d1000092824d9421d416b685402a8a18ea32d3','{"amount":20,"currency":"EUR","order":7,"refundable":true}',NULL,1000.0,'tool','orders.lookup','c0-orders_lookup','pure','doubt:2','{"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('doubt',3,1,'success','cf404746a601bb6c9ab324c0a3791912d3c1b484e97ed98d94e78e0c76859734','{"calls":[{"arguments":"{\"order\": 7, \"amount\": 20}","id":"c0-payments_refund","name":"payments.refund"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','doubt:3',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('doubt',4,1,'failed','fab1c290ab716ab3ba625282aaf34378e319a278fc093a1c854e7ff672282825','{"error":"timeout","reason":"TimeoutError"}','in_doubt',1000.0,'tool','payments.refund','c0-payments_refund','idempotent','doubt:4','{"amount":20,"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('doubt',4,2,'pending','fab1c290ab716ab3ba625282aaf34378e319a278fc093a1c854e7ff672282825',NULL,NULL,1000.0,'tool','payments.refund','c0-payments_refund','idempotent','doubt:4','{"amount":20,"order":7}',NULL,NULL);
INSERT INTO "agent_steps" VALUES('looks-up',1,1,'success','24e87b7d610f9875447e0cb120d5a805756ec646055928d958bcf9433a0eebf8','{"calls":[{"arguments":"{\"order\": 7}","id":"c0-orders_lookup","name":"orders.lookup"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','looks-up:1',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('looks-up',2,1,'pending','8bcbace4a85bfd655264d50663d1000092824d9421d416b685402a8a18ea32d3',NULL,NULL,1000.0,'tool','orders.lookup','c0-orders_lookup','pure','looks-up:2','{"order":7}',NULL,NULL);
INSERT INTO "agent_steps" VALUES('pays',1,1,'success','55e8dbbb8b6316a61ecba922de829515fc525e417b50a0d3c29215d32f1ec7ef','{"calls":[{"arguments":"{\"order\": 7}","id":"c0-orders_lookup","name":"orders.lookup"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','pays:1',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('pays',2,1,'success','8bcbace4a85bfd655264d50663d1000092824d9421d416b685402a8a18ea32d3','{"amount":20,"currency":"EUR","order":7,"refundable":true}',NULL,1000.0,'tool','orders.lookup','c0-orders_lookup','pure','pays:2','{"order":7}',1000.0,NULL);
INSERT INTO "agent_steps" VALUES('pays',3,1,'success','850d7792679c9a8622657cd471b31fad6b081bcbb58f37b6b91838c44caed1b1','{"calls":[{"arguments":"{\"order\": 7, \"amount\": 20}","id":"c0-payments_refund","name":"payments.refund"}],"finish":"tool_calls","text":"","usage":null}',NULL,1000.0,'model',NULL,'','pure','pays:3',NULL,1000.0,NULL);
INSERT INTO "agent_steps" VALUES('pays',4,1,'pending','fab1c290ab716ab3ba625282aaf34378e319a278fc093a1c854e7ff672282825',NULL,NULL,1000.0,'tool','payments.refund','c0-payments_refund','idempotent','pays:4','{"amount":20,"order":7}',NULL,NULL);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    at REAL NOT NULL,
    data TEXT NOT NULL
);
INSERT INTO "audit" VALUES(1,'done',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(2,'done',2,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(3,'done',2,1000.0,'{"calls":["orders.lookup"],"final":false,"kind":"proposal","step":1}');
INSERT INTO "audit" VALUES(4,'done',2,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(5,'done',3,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(6,'done',4,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(7,'done',4,1000.0,'{"calls":["payments.refund"],"final":false,"kind":"proposal","step":3}');
INSERT INTO "audit" VALUES(8,'done',4,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(9,'done',5,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(10,'done',6,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(11,'done',6,1000.0,'{"calls":[],"final":true,"kind":"proposal","step":5}');
INSERT INTO "audit" VALUES(12,'done',6,1000.0,'{"event":"answer_accepted","from":"PLANNING","kind":"transition","to":"DONE"}');
INSERT INTO "audit" VALUES(13,'done',6,1000.0,'{"cause":null,"kind":"outcome","outcome":"success"}');
INSERT INTO "audit" VALUES(14,'asks-model',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(15,'looks-up',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(16,'looks-up',2,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(17,'looks-up',2,1000.0,'{"calls":["orders.lookup"],"final":false,"kind":"proposal","step":1}');
INSERT INTO "audit" VALUES(18,'looks-up',2,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(19,'pays',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(20,'pays',2,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(21,'pays',2,1000.0,'{"calls":["orders.lookup"],"final":false,"kind":"proposal","step":1}');
INSERT INTO "audit" VALUES(22,'pays',2,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(23,'pays',3,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(24,'pays',4,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(25,'pays',4,1000.0,'{"calls":["payments.refund"],"final":false,"kind":"proposal","step":3}');
INSERT INTO "audit" VALUES(26,'pays',4,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(27,'doubt',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(28,'doubt',2,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(29,'doubt',2,1000.0,'{"calls":["orders.lookup"],"final":false,"kind":"proposal","step":1}');
INSERT INTO "audit" VALUES(30,'doubt',2,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(31,'doubt',3,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(32,'doubt',4,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(33,'doubt',4,1000.0,'{"calls":["payments.refund"],"final":false,"kind":"proposal","step":3}');
INSERT INTO "audit" VALUES(34,'doubt',4,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(35,'doubt',5,1000.0,'{"attempt":1,"code":"in_doubt","kind":"attempt_failed","step":4}');
INSERT INTO "audit" VALUES(36,'doubt',5,1000.0,'{"event":"attempt_failed","from":"EXECUTING_STEP","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(37,'answers',1,1000.0,'{"event":"user_request_received","from":"INIT","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(38,'answers',2,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(39,'answers',2,1000.0,'{"calls":["orders.lookup"],"final":false,"kind":"proposal","step":1}');
INSERT INTO "audit" VALUES(40,'answers',2,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(41,'answers',3,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(42,'answers',4,1000.0,'{"event":"model_replied","from":"PLANNING","kind":"transition","to":"PLANNING"}');
INSERT INTO "audit" VALUES(43,'answers',4,1000.0,'{"calls":["payments.refund"],"final":false,"kind":"proposal","step":3}');
INSERT INTO "audit" VALUES(44,'answers',4,1000.0,'{"event":"tool_proposed","from":"PLANNING","kind":"transition","to":"EXECUTING_STEP"}');
INSERT INTO "audit" VALUES(45,'answers',5,1000.0,'{"event":"tool_result_received","from":"EXECUTING_STEP","kind":"transition","to":"PLANNING"}');
CREATE TABLE event (
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT,
    received_at REAL NOT NULL,
    applied_version INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (source, event_id)
);
INSERT INTO "event" VALUES('runtime','done:start','done','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('model','done:1/1','done','reply',NULL,1000.0,2,NULL);
INSERT INTO "event" VALUES('tool','done:2/1','done','reply',NULL,1000.0,3,NULL);
INSERT INTO "event" VALUES('model','done:3/1','done','reply',NULL,1000.0,4,NULL);
INSERT INTO "event" VALUES('tool','done:4/1','done','reply',NULL,1000.0,5,NULL);
INSERT INTO "event" VALUES('model','done:5/1','done','reply',NULL,1000.0,6,NULL);
INSERT INTO "event" VALUES('runtime','asks-model:start','asks-model','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('runtime','looks-up:start','looks-up','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('model','looks-up:1/1','looks-up','reply',NULL,1000.0,2,NULL);
INSERT INTO "event" VALUES('runtime','pays:start','pays','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('model','pays:1/1','pays','reply',NULL,1000.0,2,NULL);
INSERT INTO "event" VALUES('tool','pays:2/1','pays','reply',NULL,1000.0,3,NULL);
INSERT INTO "event" VALUES('model','pays:3/1','pays','reply',NULL,1000.0,4,NULL);
INSERT INTO "event" VALUES('runtime','doubt:start','doubt','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('model','doubt:1/1','doubt','reply',NULL,1000.0,2,NULL);
INSERT INTO "event" VALUES('tool','doubt:2/1','doubt','reply',NULL,1000.0,3,NULL);
INSERT INTO "event" VALUES('model','doubt:3/1','doubt','reply',NULL,1000.0,4,NULL);
INSERT INTO "event" VALUES('tool','doubt:4/1','doubt','timeout',NULL,1000.0,5,NULL);
INSERT INTO "event" VALUES('runtime','answers:start','answers','user_request_received',NULL,1000.0,1,NULL);
INSERT INTO "event" VALUES('model','answers:1/1','answers','reply',NULL,1000.0,2,NULL);
INSERT INTO "event" VALUES('tool','answers:2/1','answers','reply',NULL,1000.0,3,NULL);
INSERT INTO "event" VALUES('model','answers:3/1','answers','reply',NULL,1000.0,4,NULL);
INSERT INTO "event" VALUES('tool','answers:4/1','answers','reply',NULL,1000.0,5,NULL);
CREATE TABLE task (
    request_id TEXT PRIMARY KEY,
    schema_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    text TEXT NOT NULL,
    fsm_state TEXT NOT NULL,
    current_step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    business_state TEXT NOT NULL,
    last_error TEXT,
    budget_used TEXT NOT NULL,
    outcome TEXT,
    cause TEXT,
    answer TEXT NOT NULL,
    ending TEXT,
    wait_until REAL,
    waited_s REAL NOT NULL,
    owner TEXT,
    lease_until REAL NOT NULL,
    fence INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "task" VALUES('answers',1,5,'support_refund@1','refund order 7','PLANNING','ANSWER',1,'{"amount":20,"asked":[7],"currency":"EUR","order":7,"refund_id":"R-answers:4","refundable":true,"refunded":20}',NULL,'{"model_calls":3,"steps":5,"tokens":176,"tool_calls":2}',NULL,NULL,'',NULL,NULL,0.0,'process:0123456789abcdef/1/abcdefabcdef',1030.0,1,1000.0,1000.0);
INSERT INTO "task" VALUES('asks-model',1,1,'support_refund@1','refund order 7','PLANNING','LOOKUP',1,'{"asked":[7]}',NULL,'{"model_calls":1,"steps":1,"tokens":0,"tool_calls":0}',NULL,NULL,'',NULL,NULL,0.0,'process:0123456789abcdef/1/abcdefabcdef',1030.0,1,1000.0,1000.0);
INSERT INTO "task" VALUES('done',1,6,'support_refund@1','refund order 7','DONE','ANSWER',1,'{"amount":20,"asked":[7],"currency":"EUR","order":7,"refund_id":"R-done:4","refundable":true,"refunded":20}',NULL,'{"model_calls":3,"steps":5,"tokens":289,"tool_calls":2}','success',NULL,'Refunded.',NULL,NULL,0.0,NULL,0.0,1,1000.0,1000.0);
INSERT INTO "task" VALUES('doubt',1,5,'support_refund@1','refund order 7','EXECUTING_STEP','REFUND',2,'{"amount":20,"asked":[7],"currency":"EUR","order":7,"refundable":true}','in_doubt','{"model_calls":2,"steps":4,"tokens":176,"tool_calls":3}',NULL,NULL,'',NULL,NULL,0.0,'process:0123456789abcdef/1/abcdefabcdef',1030.0,1,1000.0,1000.0);
INSERT INTO "task" VALUES('looks-up',1,2,'support_refund@1','refund order 7','EXECUTING_STEP','LOOKUP',1,'{"asked":[7]}',NULL,'{"model_calls":1,"steps":2,"tokens":74,"tool_calls":1}',NULL,NULL,'',NULL,NULL,0.0,'process:0123456789abcdef/1/abcdefabcdef',1030.0,1,1000.0,1000.0);
INSERT INTO "task" VALUES('pays',1,4,'support_refund@1','refund order 7','EXECUTING_STEP','REFUND',1,'{"amount":20,"asked":[7],"currency":"EUR","order":7,"refundable":true}',NULL,'{"model_calls":2,"steps":4,"tokens":176,"tool_calls":2}',NULL,NULL,'',NULL,NULL,0.0,'process:0123456789abcdef/1/abcdefabcdef',1030.0,1,1000.0,1000.0);
CREATE INDEX event_held ON event (request_id) WHERE reason = 'early';
CREATE INDEX audit_by_request ON audit (request_id, seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',45);
COMMIT;
