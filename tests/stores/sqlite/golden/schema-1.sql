
-- The values of various per-database settings
PRAGMA page_size=4096;
-- PRAGMA encoding='UTF-8';
-- PRAGMA auto_vacuum=NONE;
-- PRAGMA max_page_count=4294967294;

BEGIN TRANSACTION;

-- Table  branch
DROP TABLE IF EXISTS branch;
CREATE TABLE branch (
  session INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  operation INTEGER NOT NULL,
  history TEXT NOT NULL,
  tip INTEGER NOT NULL,
  tip_start INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  parent_id TEXT,
  parent_message_index INTEGER,
  metadata TEXT,
  extra TEXT,
  PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;
INSERT INTO branch VALUES(1,'main','Main conversation',4,'[["e0e9144b99944c1593c8f6cec500ffb4",0,3],["d1bec688d3cb476f8d36f2f16bf30686",0,1]]',1,3,1795244364439,NULL,NULL,NULL,NULL);
INSERT INTO branch VALUES(1,'side','Renamed',5,'[["e0e9144b99944c1593c8f6cec500ffb4",0,2]]',2,0,1795244364443,'main',2,NULL,NULL);
INSERT INTO branch VALUES(2,'main','Main conversation',1,'[]',1,0,1795244364447,NULL,NULL,NULL,NULL);

-- Table  message
DROP TABLE IF EXISTS message;
CREATE TABLE message (
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  position INTEGER NOT NULL,
  salt BLOB,
  digest BLOB NOT NULL,
  payload TEXT,
  PRIMARY KEY (session, segment, position)
) STRICT, WITHOUT ROWID;
INSERT INTO message VALUES(1,1,0,X'0A232449CF0A0801917C65BACC19ECC1',X'E2507A3C0D3702CCE76EFD118AB121D5','{"role":"user","content":"one"}');
INSERT INTO message VALUES(1,1,1,X'76A605E767EE4C2D0FAA852D4B09FEB6',X'16CC41BAC81D85611DA38C220FD515DC','{"role":"user","content":"two é\u0000"}');
INSERT INTO message VALUES(1,1,2,X'370F5041DE6CACCE691F7C7DE4E48AC2',X'CED7299F3743E36B2B867E163F12C266','{"role":"user","content":"three"}');
INSERT INTO message VALUES(1,2,0,X'37548BEFFFDFD6078105FA3E7202A1EF',X'1BBCA05031A7DDD9C3350388012BBC18','{"n":[1180591620717411303424,1.5,null]}');
INSERT INTO message VALUES(2,1,0,X'B3E60AA189B19F9B5822940C785D8015',X'C20E509F16A52213FC1B2EB41E84EF3D','{"role":"user","content":"another session"}');

-- Table  operation
DROP TABLE IF EXISTS operation;
CREATE TABLE operation (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  hostname TEXT NOT NULL,
  head_before TEXT,
  head_after TEXT,
  branches TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
INSERT INTO operation VALUES(1,1,'9375a79e60414532ac84536f1d504e75','init',1795244364442,27823,'vm',NULL,'main','[{"id":"main","before":null,"after":{"name":"Main conversation","history":[],"tip":["e0e9144b99944c1593c8f6cec500ffb4",0],"created_at":1795244364439,"updated_at":1795244364439,"operation":1}}]','{}');
INSERT INTO operation VALUES(1,2,'aa9872431cd44f71973f9aca219fbfab','fork',1795244364444,27823,'vm','main','side','[{"id":"side","before":null,"after":{"name":"Side","history":[["e0e9144b99944c1593c8f6cec500ffb4",0,2]],"tip":["d1bec688d3cb476f8d36f2f16bf30686",0],"created_at":1795244364443,"updated_at":1795244364443,"operation":2,"parent_id":"main","parent_message_index":2}}]','{}');
INSERT INTO operation VALUES(1,3,'cf54a977d72f450ab5b321eae11f9997','checkout',1795244364445,27823,'vm','side','main','[]','{}');
INSERT INTO operation VALUES(1,4,'d7a52c7d1c0d4134a83792bf55da67d8','merge',1795244364445,27823,'vm','main','main','[{"id":"main","before":{"name":"Main conversation","history":[["e0e9144b99944c1593c8f6cec500ffb4",0,3]],"tip":["e0e9144b99944c1593c8f6cec500ffb4",3],"created_at":1795244364439,"updated_at":1795244364443,"operation":1},"after":{"history":[["e0e9144b99944c1593c8f6cec500ffb4",0,3],["d1bec688d3cb476f8d36f2f16bf30686",0,1]],"updated_at":1795244364445,"operation":4}}]','{"source":"side","strategy":"append","source_history":[["e0e9144b99944c1593c8f6cec500ffb4",0,2],["d1bec688d3cb476f8d36f2f16bf30686",0,1]]}');
INSERT INTO operation VALUES(1,5,'b8e6e81c4a7e454c8e59cd403f5057db','rename',1795244364446,27823,'vm','main','main','[{"id":"side","before":{"name":"Side","history":[["e0e9144b99944c1593c8f6cec500ffb4",0,2],["d1bec688d3cb476f8d36f2f16bf30686",0,1]],"tip":["d1bec688d3cb476f8d36f2f16bf30686",1],"created_at":1795244364443,"updated_at":1795244364444,"operation":2,"parent_id":"main","parent_message_index":2},"after":{"name":"Renamed","updated_at":1795244364446,"operation":5}}]','{}');
INSERT INTO operation VALUES(1,6,'2f7fb3cde614443a910e11037acc395c','create',1795244364446,27823,'vm','main','main','[{"id":"gone","before":null,"after":{"name":"Gone","history":[["e0e9144b99944c1593c8f6cec500ffb4",0,2],["d1bec688d3cb476f8d36f2f16bf30686",0,1]],"tip":["555cceacc04b4558b4f6bb2ad6f4f855",0],"created_at":1795244364446,"updated_at":1795244364446,"operation":6,"parent_id":"side","parent_message_index":3}}]','{}');
INSERT INTO operation VALUES(1,7,'315539d7b2114da893229f9d125a5139','delete',1795244364447,27823,'vm','main','main','[{"id":"gone","before":{"name":"Gone","history":[["e0e9144b99944c1593c8f6cec500ffb4",0,2],["d1bec688d3cb476f8d36f2f16bf30686",0,1]],"tip":["555cceacc04b4558b4f6bb2ad6f4f855",0],"created_at":1795244364446,"updated_at":1795244364446,"operation":6,"parent_id":"side","parent_message_index":3},"after":null}]','{}');
INSERT INTO operation VALUES(2,1,'a3220332384348be9b2974a9a5ee5702','init',1795244364447,27823,'vm',NULL,'main','[{"id":"main","before":null,"after":{"name":"Main conversation","history":[],"tip":["a199c6b332254b0f885fd2a3b586b4dd",0],"created_at":1795244364447,"updated_at":1795244364447,"operation":1}}]','{}');

-- Table  segment
DROP TABLE IF EXISTS segment;
CREATE TABLE segment (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  next INTEGER NOT NULL,
  chain BLOB NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
INSERT INTO segment VALUES(1,1,'e0e9144b99944c1593c8f6cec500ffb4',3,X'ECB521F9DB51AEEF6A453E7496AC7B1B',1795244364445);
INSERT INTO segment VALUES(1,2,'d1bec688d3cb476f8d36f2f16bf30686',1,X'3D298955B7B57CBF8C3C43D3924176DB',1795244364446);
INSERT INTO segment VALUES(1,3,'555cceacc04b4558b4f6bb2ad6f4f855',0,X'',1795244364446);
INSERT INTO segment VALUES(2,1,'a199c6b332254b0f885fd2a3b586b4dd',1,X'FEE74859C57C749DDDF62B5597C3AFB4',1795244364448);
-- Triggers and indices on  segment
CREATE UNIQUE INDEX segment_id ON segment (session, id);

-- Table  session
DROP TABLE IF EXISTS session;
CREATE TABLE session (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  operation_floor INTEGER NOT NULL
) STRICT;
INSERT INTO session VALUES(1,'talk',0);
INSERT INTO session VALUES(2,'a/b',0);
-- Triggers and indices on  session
CREATE UNIQUE INDEX session_id ON session (id);

-- For primary key autoincrements the next id to use is stored in
-- sqlite_sequence
DELETE FROM main.sqlite_sequence WHERE name='session';
INSERT INTO main.sqlite_sequence VALUES ('session', 2);

-- Database header
pragma user_version=1;
pragma application_id=1651471719;

COMMIT TRANSACTION;
