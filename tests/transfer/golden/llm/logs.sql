BEGIN TRANSACTION;
CREATE TABLE "attachments" (
   "id" TEXT PRIMARY KEY,
   "type" TEXT,
   "path" TEXT,
   "url" TEXT,
   "content" BLOB
);
INSERT INTO "attachments" VALUES('9f86d081','image/png',NULL,NULL,X'89504E47');
INSERT INTO "attachments" VALUES('79be93945a171c6247a5cb659286a644894b9440b7b53074cb602f7049e4ce3a','image/png',NULL,'https://example.org/map.png',NULL);
CREATE TABLE "conversations" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "model" TEXT
);
INSERT INTO "conversations" VALUES('01conv','Rome','gpt-x');
CREATE TABLE "fragment_aliases" (
   "alias" TEXT PRIMARY KEY,
   "fragment_id" INTEGER REFERENCES "fragments"("id")
);
CREATE TABLE "fragments" (
   "id" INTEGER PRIMARY KEY,
   "hash" TEXT,
   "content" TEXT,
   "datetime_utc" TEXT,
   "source" TEXT
);
INSERT INTO "fragments" VALUES(1,'h1','A guide to Rome.','2025-06-01T10:00:00+00:00','guide.txt');
INSERT INTO "fragments" VALUES(2,'223764877d47d5b87c77dac00eb610cf8b4a2df4b7e65ac6b372fe74716bcd60','A guide to Rome.','2026-11-21 10:14:41',NULL);
CREATE TABLE "messages" (
   "hash" TEXT PRIMARY KEY,
   "parent_hash" TEXT REFERENCES "messages"("hash"),
   "role" TEXT,
   "provider_metadata" TEXT
);
INSERT INTO "messages" VALUES('b2:074dea0bd0259e0d5dca16426a45e4f5',NULL,'system',NULL);
INSERT INTO "messages" VALUES('b2:a0beea19a28757608dd1e5ad1fd7d08c','b2:074dea0bd0259e0d5dca16426a45e4f5','user',NULL);
INSERT INTO "messages" VALUES('b2:95e8d8fc321e118d9204aaccab6fd30a','b2:a0beea19a28757608dd1e5ad1fd7d08c','assistant',NULL);
INSERT INTO "messages" VALUES('b2:1d9044a8666d96a51a11fb123d0d5f43','b2:95e8d8fc321e118d9204aaccab6fd30a','tool',NULL);
INSERT INTO "messages" VALUES('b2:4ad5b0cff46da5e73330d7fc899e6d04','b2:1d9044a8666d96a51a11fb123d0d5f43','assistant',NULL);
INSERT INTO "messages" VALUES('b2:4e161a5b0b4c0f84e93da85064805aa0','b2:4ad5b0cff46da5e73330d7fc899e6d04','user',NULL);
INSERT INTO "messages" VALUES('b2:a8ee9affb5257077c55f224601ceafa8','b2:4ad5b0cff46da5e73330d7fc899e6d04','user',NULL);
INSERT INTO "messages" VALUES('b2:f6c4ecfdd29b3158bb40836167ef2df6','b2:a8ee9affb5257077c55f224601ceafa8','assistant',NULL);
INSERT INTO "messages" VALUES('b2:ae94e9f76eea6a1edae559dce3d481fc',NULL,'user',NULL);
CREATE TABLE "part_attachments" (
   "part_id" INTEGER REFERENCES "parts"("id"),
   "attachment_id" TEXT REFERENCES "attachments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("part_id", "attachment_id", "order")
);
INSERT INTO "part_attachments" VALUES(3,'79be93945a171c6247a5cb659286a644894b9440b7b53074cb602f7049e4ce3a',0);
CREATE TABLE "part_fragments" (
   "part_id" INTEGER REFERENCES "parts"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("part_id", "fragment_id", "order")
);
INSERT INTO "part_fragments" VALUES(11,2,0);
CREATE TABLE "parts" (
   "id" INTEGER PRIMARY KEY,
   "message_hash" TEXT REFERENCES "messages"("hash"),
   "position" INTEGER,
   "type" TEXT,
   "tool_name" TEXT,
   "text" TEXT,
   "payload" TEXT
);
INSERT INTO "parts" VALUES(1,'b2:074dea0bd0259e0d5dca16426a45e4f5',0,'text',NULL,'Be brief.',NULL);
INSERT INTO "parts" VALUES(2,'b2:a0beea19a28757608dd1e5ad1fd7d08c',0,'text',NULL,'Where is it warm?',NULL);
INSERT INTO "parts" VALUES(3,'b2:a0beea19a28757608dd1e5ad1fd7d08c',1,'attachment',NULL,NULL,'{"attachment": {"id": "79be93945a171c6247a5cb659286a644894b9440b7b53074cb602f7049e4ce3a"}}');
INSERT INTO "parts" VALUES(4,'b2:95e8d8fc321e118d9204aaccab6fd30a',0,'reasoning',NULL,'Let me see.',NULL);
INSERT INTO "parts" VALUES(5,'b2:95e8d8fc321e118d9204aaccab6fd30a',1,'tool_call','weather',NULL,'{"name": "weather", "arguments": {"city": "Rome"}, "tool_call_id": "c1"}');
INSERT INTO "parts" VALUES(6,'b2:1d9044a8666d96a51a11fb123d0d5f43',0,'tool_result','weather',NULL,'{"name": "weather", "output": "30", "tool_call_id": "c1"}');
INSERT INTO "parts" VALUES(7,'b2:4ad5b0cff46da5e73330d7fc899e6d04',0,'text',NULL,'Rome.',NULL);
INSERT INTO "parts" VALUES(8,'b2:4e161a5b0b4c0f84e93da85064805aa0',0,'text',NULL,'And cold?',NULL);
INSERT INTO "parts" VALUES(9,'b2:a8ee9affb5257077c55f224601ceafa8',0,'text',NULL,'And wet?',NULL);
INSERT INTO "parts" VALUES(10,'b2:f6c4ecfdd29b3158bb40836167ef2df6',0,'text',NULL,'Bergen.',NULL);
INSERT INTO "parts" VALUES(11,'b2:ae94e9f76eea6a1edae559dce3d481fc',0,'text',NULL,NULL,'{"text_ref": [{"literal": "Read this: "}, {"fragment": 2}, {"literal": " Good?"}]}');
INSERT INTO "parts" VALUES(12,'b2:ae94e9f76eea6a1edae559dce3d481fc',1,'smell',NULL,NULL,'{}');
CREATE TABLE "prompt_attachments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "attachment_id" TEXT REFERENCES "attachments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "attachment_id")
);
INSERT INTO "prompt_attachments" VALUES('01r1','9f86d081',0);
CREATE TABLE "prompt_fragments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "fragment_id", "order")
);
INSERT INTO "prompt_fragments" VALUES('01r1',1,0);
CREATE TABLE "responses" (
   "id" TEXT PRIMARY KEY,
   "model" TEXT,
   "prompt" TEXT,
   "system" TEXT,
   "prompt_json" TEXT,
   "options_json" TEXT,
   "response" TEXT,
   "response_json" TEXT,
   "conversation_id" TEXT REFERENCES "conversations"("id"),
   "duration_ms" INTEGER,
   "datetime_utc" TEXT,
   "input_tokens" INTEGER,
   "output_tokens" INTEGER,
   "token_details" TEXT,
   "schema_id" TEXT REFERENCES "schemas"("id")
, "resolved_model" TEXT, "reasoning" TEXT);
INSERT INTO "responses" VALUES('01r1','gpt-x','What is on it?','Be kind.',NULL,'{}','',NULL,'01conv',12,'2025-06-01T10:00:01+00:00',5,7,NULL,NULL,NULL,NULL);
INSERT INTO "responses" VALUES('01r2','gpt-x','','Be kind.',NULL,'{}','The sky.',NULL,'01conv',12,'2025-06-01T10:00:02+00:00',9,2,NULL,NULL,NULL,'It is blue.');
INSERT INTO "responses" VALUES('01r3','gpt-x','alone',NULL,NULL,'{}','yes',NULL,NULL,12,'2025-06-01T10:00:03+00:00',1,1,NULL,NULL,NULL,NULL);
INSERT INTO "responses" VALUES('01r4','gpt-x','lost',NULL,NULL,'{}','found',NULL,'gone',12,'2025-06-01T10:00:04+00:00',1,1,NULL,NULL,NULL,NULL);
CREATE TABLE "schemas" (
   "id" TEXT PRIMARY KEY,
   "content" TEXT
);
CREATE TABLE "system_fragments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "fragment_id", "order")
);
CREATE TABLE "threads" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "tip_message_hash" TEXT REFERENCES "messages"("hash"),
   "forked_from" TEXT REFERENCES "threads"("id"),
   "datetime_utc" TEXT
);
INSERT INTO "threads" VALUES('01thread','Trip','b2:4e161a5b0b4c0f84e93da85064805aa0',NULL,'2026-11-21 10:14:41.105863+00:00');
INSERT INTO "threads" VALUES('01fork','Cold','b2:f6c4ecfdd29b3158bb40836167ef2df6','01thread','2026-11-21 10:14:41.168955+00:00');
INSERT INTO "threads" VALUES('01same','Same','b2:4ad5b0cff46da5e73330d7fc899e6d04','01thread','2026-11-21 10:14:41.277899+00:00');
INSERT INTO "threads" VALUES('01zfrag','Frag','b2:ae94e9f76eea6a1edae559dce3d481fc',NULL,'2026-11-21 10:14:41.341859+00:00');
CREATE TABLE "tool_calls" (
   "id" INTEGER PRIMARY KEY,
   "response_id" TEXT REFERENCES "responses"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "name" TEXT,
   "arguments" TEXT,
   "tool_call_id" TEXT
);
INSERT INTO "tool_calls" VALUES(1,'01r1',NULL,'look','{"at": "sky"}','call_1');
CREATE TABLE "tool_instances" (
   "id" INTEGER PRIMARY KEY,
   "plugin" TEXT,
   "name" TEXT,
   "arguments" TEXT
);
CREATE TABLE "tool_instantiations" (
   "turn_id" TEXT REFERENCES "turns"("id"),
   "tool_call_id" TEXT,
   "instance_id" INTEGER REFERENCES "tool_instances"("id"),
   PRIMARY KEY ("turn_id", "tool_call_id")
);
CREATE TABLE "tool_responses" (
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "response_id" TEXT REFERENCES "responses"("id"),
   PRIMARY KEY ("tool_id", "response_id")
);
CREATE TABLE "tool_results" (
   "id" INTEGER PRIMARY KEY,
   "response_id" TEXT REFERENCES "responses"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "name" TEXT,
   "output" TEXT,
   "tool_call_id" TEXT,
   "instance_id" INTEGER REFERENCES "tool_instances"("id")
, "exception" TEXT);
INSERT INTO "tool_results" VALUES(1,'01r2',NULL,'look','blue','call_1',NULL,NULL);
CREATE TABLE "tool_results_attachments" (
   "tool_result_id" INTEGER REFERENCES "tool_results"("id"),
   "attachment_id" TEXT REFERENCES "attachments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("tool_result_id", "attachment_id")
);
CREATE TABLE "tools" (
   "id" INTEGER PRIMARY KEY,
   "hash" TEXT,
   "name" TEXT,
   "description" TEXT,
   "input_schema" TEXT
, "plugin" TEXT);
CREATE TABLE "turn_fragments" (
   "turn_id" TEXT REFERENCES "turns"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   "kind" TEXT,
   PRIMARY KEY ("turn_id", "fragment_id", "kind", "order")
);
CREATE TABLE "turn_tools" (
   "turn_id" TEXT REFERENCES "turns"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "instance_id" INTEGER REFERENCES "tool_instances"("id"),
   PRIMARY KEY ("turn_id", "tool_id")
);
CREATE TABLE "turns" (
   "id" TEXT PRIMARY KEY,
   "thread_id" TEXT REFERENCES "threads"("id"),
   "parent_message_hash" TEXT REFERENCES "messages"("hash"),
   "tip_message_hash" TEXT REFERENCES "messages"("hash"),
   "model" TEXT,
   "resolved_model" TEXT,
   "options_json" TEXT,
   "schema_id" TEXT REFERENCES "schemas"("id"),
   "input_tokens" INTEGER,
   "output_tokens" INTEGER,
   "token_details" TEXT,
   "duration_ms" INTEGER,
   "datetime_utc" TEXT
, "response_json" TEXT);
INSERT INTO "turns" VALUES('01t1','01thread','b2:a0beea19a28757608dd1e5ad1fd7d08c','b2:95e8d8fc321e118d9204aaccab6fd30a','gpt-y',NULL,'{"temperature": 0}',NULL,3,4,NULL,5,'2026-07-01T10:00:00+00:00',NULL);
INSERT INTO "turns" VALUES('01t2','01thread','b2:1d9044a8666d96a51a11fb123d0d5f43','b2:4ad5b0cff46da5e73330d7fc899e6d04','gpt-y',NULL,'{"temperature": 0}',NULL,3,4,NULL,5,'2026-07-01T10:00:00+00:00',NULL);
CREATE UNIQUE INDEX "idx_fragments_hash"
    ON "fragments" ("hash");
CREATE UNIQUE INDEX "idx_tools_hash"
    ON "tools" ("hash");
CREATE INDEX "idx_messages_parent_hash"
    ON "messages" ("parent_hash");
CREATE UNIQUE INDEX "idx_parts_message_hash_position"
    ON "parts" ("message_hash", "position");
CREATE INDEX "idx_part_fragments_fragment_id"
    ON "part_fragments" ("fragment_id");
CREATE INDEX "idx_turns_thread_id"
    ON "turns" ("thread_id");
CREATE INDEX "idx_turn_fragments_fragment_id"
    ON "turn_fragments" ("fragment_id");
COMMIT;
