BEGIN TRANSACTION;
CREATE TABLE agent_messages (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_data TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id)
                    ON DELETE CASCADE
            );
INSERT INTO "agent_messages" VALUES(1,'trip','{"role": "user", "content": [{"type": "input_text", "text": "What is on this picture?"}, {"type": "input_image", "image_url": "https://example.org/rome.png", "detail": "auto"}]}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(2,'trip','{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Rome.", "annotations": []}]}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(3,'trip','{"role": "user", "content": "And the weather there?"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(4,'trip','{"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Rome\"}", "status": "completed"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(5,'trip','{"type": "function_call_output", "call_id": "call_1", "output": "sunny"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(6,'trip','{"id": "msg_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}]}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(7,'trip','{"role": "user", "content": "How do I get there by train?"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(8,'trip','{"role": "assistant", "content": "Change in Milan."}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(9,'plain','{"role": "user", "content": "hi"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(10,'plain','{"role": "assistant", "content": "hello"}','2026-11-21 10:10:47');
INSERT INTO "agent_messages" VALUES(11,'plain','{torn','2026-11-21 10:10:47');
CREATE TABLE agent_sessions (
                session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
INSERT INTO "agent_sessions" VALUES('trip','2026-11-21 10:10:47','2026-11-21 10:10:47');
INSERT INTO "agent_sessions" VALUES('plain','2026-11-21 10:10:47','2026-11-21 10:10:47');
CREATE TABLE branch_reservations (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                PRIMARY KEY (session_id, branch_id)
            );
INSERT INTO "branch_reservations" VALUES('trip','main');
INSERT INTO "branch_reservations" VALUES('trip','by-train');
INSERT INTO "branch_reservations" VALUES('trip','unused');
CREATE TABLE message_structure (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_id INTEGER NOT NULL,
                branch_id TEXT NOT NULL DEFAULT 'main',
                message_type TEXT NOT NULL,
                sequence_number INTEGER NOT NULL,
                user_turn_number INTEGER,
                branch_turn_number INTEGER,
                tool_name TEXT,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id)
                    REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
                FOREIGN KEY (message_id)
                    REFERENCES agent_messages(id) ON DELETE CASCADE
            );
INSERT INTO "message_structure" VALUES(1,'trip',1,'main','user',1,1,1,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(2,'trip',2,'main','assistant',2,1,1,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(3,'trip',3,'main','user',3,2,2,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(4,'trip',4,'main','function_call',4,2,2,'weather','2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(5,'trip',5,'main','function_call_output',5,2,2,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(6,'trip',6,'main','assistant',6,2,2,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(7,'trip',1,'by-train','user',7,1,1,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(8,'trip',2,'by-train','assistant',8,1,1,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(9,'trip',7,'by-train','user',9,2,2,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(10,'trip',8,'by-train','assistant',10,2,2,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(11,'trip',1,'unused','user',11,1,1,NULL,'2026-11-21 10:10:47');
INSERT INTO "message_structure" VALUES(12,'trip',2,'unused','assistant',12,1,1,NULL,'2026-11-21 10:10:47');
CREATE TABLE session_clear_generations (
                session_id TEXT PRIMARY KEY,
                generation INTEGER NOT NULL DEFAULT 0
            );
INSERT INTO "session_clear_generations" VALUES('trip',0);
CREATE TABLE turn_usage (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL DEFAULT 'main',
                user_turn_number INTEGER NOT NULL,
                requests INTEGER DEFAULT 0,
                input_tokens INTEGER DEFAULT 0,
                output_tokens INTEGER DEFAULT 0,
                total_tokens INTEGER DEFAULT 0,
                input_tokens_details JSON,
                output_tokens_details JSON,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id)
                    REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
                UNIQUE(session_id, branch_id, user_turn_number)
            );
INSERT INTO "turn_usage" VALUES(1,'trip','main',1,1,10,3,13,'{"cache_write_tokens": 0, "cached_tokens": 0, "cache_write_tokens_details": null}','{"reasoning_tokens": 0}','2026-11-21 10:10:47');
CREATE INDEX idx_agent_messages_session_id
            ON agent_messages (session_id, id)
        ;
CREATE INDEX idx_structure_session_seq
            ON message_structure(session_id, sequence_number)
        ;
CREATE INDEX idx_structure_branch
            ON message_structure(session_id, branch_id)
        ;
CREATE INDEX idx_structure_turn
            ON message_structure(session_id, branch_id, user_turn_number)
        ;
CREATE INDEX idx_structure_branch_seq
            ON message_structure(session_id, branch_id, sequence_number)
        ;
CREATE INDEX idx_turn_usage_session_turn
            ON turn_usage(session_id, branch_id, user_turn_number)
        ;
COMMIT;
