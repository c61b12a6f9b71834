-- SQLite dump (by APSW 3.54.1.0)
-- SQLite version 3.54.1
-- Date: Sat Nov 21 09:12:53 2026
-- Tables like: (All)
-- Database: store.db
-- User: nobody

-- The values of various per-database settings
PRAGMA page_size=4096;
-- PRAGMA encoding='UTF-8';
-- PRAGMA auto_vacuum=NONE;
-- PRAGMA max_page_count=4294967294;

-- This pragma is needed to restore virtual tables
PRAGMA writable_schema=ON;

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
INSERT INTO branch VALUES(1,'main','Main conversation',4,'[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,3],["46ac19885f404de5ba119abf1b314e1e",0,1]]',1,3,1795252373795,NULL,NULL,NULL,NULL);
INSERT INTO branch VALUES(1,'side','Side',2,'[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,2]]',2,0,1795252373800,'main',2,NULL,NULL);
INSERT INTO branch VALUES(2,'main','Main conversation',1,'[]',1,0,1795252373805,NULL,NULL,NULL,NULL);
INSERT INTO branch VALUES(3,'main','Main conversation',1,'[["theirs",2,4],["theirs",8,10]]',1,0,1795252373809,NULL,NULL,NULL,NULL);

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
INSERT INTO message VALUES(1,1,0,X'D0176F182C0549B92E2FE7CB995A4653',X'D15EE4F44CF1BE9AD1F7F1CD5FC9AB6E','{"role":"user","content":"one"}');
INSERT INTO message VALUES(1,1,1,X'192403BFC36110E883EC83EE3863CDB9',X'01060F2BCAEC55A54BF2813D3626E724','{"role":"user","content":"two é\u0000"}');
INSERT INTO message VALUES(1,1,2,X'E4A7199B318B636885FCD5432CCBFAB3',X'4BCE229B92FB1B4BAA63CCF287070BF3','{"role":"user","content":"three"}');
INSERT INTO message VALUES(1,1,3,X'56CDF39BACBC36DA994FFA2979D4AF23',X'2B9F731EEDD2E5256A6DD3698D982C03','{"role":"user","content":"not indexed yet"}');
INSERT INTO message VALUES(1,2,0,X'C85B5C32CB329DEDA9C91B92CCAD321C',X'B7A5431BF52844A2FC2200007A289361','{"n":[1180591620717411303424,1.5,null]}');
INSERT INTO message VALUES(2,1,0,X'72C8835BE89B5EF3126AA888495C8786',X'26830164B871BC0A4D33E171ADFC5D53','{"role":"user","content":"another session"}');
INSERT INTO message VALUES(3,2,2,X'482544ABF3CBBBC71A4C8EB4B4C27524',X'CC52F5A01097787A218A891E700FC004','{"content":"laid 0"}');
INSERT INTO message VALUES(3,2,3,X'AD36C8B6E4777A057BD26876CAF9E0AC',X'789A14D73A76A70C27913606A8CFE9F4','{"content":"laid 1"}');
INSERT INTO message VALUES(3,2,7,X'D12A027AB9383F893C2F459822E0C6C1',X'00A582A6BED4F970555B36AD405C9C62','{"content":"laid 2"}');
INSERT INTO message VALUES(3,2,8,X'75D7E0FED7F81700DAF6AD09BB223D9A',X'5A759AFFB95F5253A89666D1D40937DD','{"content":"laid 3"}');
INSERT INTO message VALUES(3,2,9,X'CF23CF88849267D05E8031B02BD447E6',X'27401774C47C410131A72C822C2AFB0E','{"content":"laid 4"}');

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
INSERT INTO operation VALUES(1,1,'fe0aba6c33824df39c75976fbb4d091c','init',1795252373798,21472,'vm',NULL,'main','[{"id":"main","before":null,"after":{"name":"Main conversation","history":[],"tip":["3eb525bbd8854fa9bfd4e4efab06fe7b",0],"created_at":1795252373795,"updated_at":1795252373795,"operation":1}}]','{}');
INSERT INTO operation VALUES(1,2,'bcd811b13dc244e0b7fda2fc9aee33df','fork',1795252373800,21472,'vm','main','side','[{"id":"side","before":null,"after":{"name":"Side","history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,2]],"tip":["46ac19885f404de5ba119abf1b314e1e",0],"created_at":1795252373800,"updated_at":1795252373800,"operation":2,"parent_id":"main","parent_message_index":2}}]','{}');
INSERT INTO operation VALUES(1,3,'7b95ef6f7f17470c9808c2f4bad5153c','checkout',1795252373801,21472,'vm','side','main','[]','{}');
INSERT INTO operation VALUES(1,4,'fdd2f76a074943fa9a53e3159a606f95','merge',1795252373801,21472,'vm','main','main','[{"id":"main","before":{"name":"Main conversation","history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,3]],"tip":["3eb525bbd8854fa9bfd4e4efab06fe7b",3],"created_at":1795252373795,"updated_at":1795252373799,"operation":1},"after":{"history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,3],["46ac19885f404de5ba119abf1b314e1e",0,1]],"updated_at":1795252373801,"operation":4}}]','{"source":"side","strategy":"append","source_history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,2],["46ac19885f404de5ba119abf1b314e1e",0,1]]}');
INSERT INTO operation VALUES(1,5,'201ab196931d455b98dff4a02098f9c6','create',1795252373802,21472,'vm','main','main','[{"id":"gone","before":null,"after":{"name":"Gone","history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,2],["46ac19885f404de5ba119abf1b314e1e",0,1]],"tip":["35c8363d327e476181a231ce0ff117d1",0],"created_at":1795252373802,"updated_at":1795252373802,"operation":5,"parent_id":"side","parent_message_index":3}}]','{}');
INSERT INTO operation VALUES(1,6,'ccafcf23832e4eaab20e499d725af578','delete',1795252373803,21472,'vm','main','main','[{"id":"gone","before":{"name":"Gone","history":[["3eb525bbd8854fa9bfd4e4efab06fe7b",0,2],["46ac19885f404de5ba119abf1b314e1e",0,1]],"tip":["35c8363d327e476181a231ce0ff117d1",0],"created_at":1795252373802,"updated_at":1795252373802,"operation":5,"parent_id":"side","parent_message_index":3},"after":null}]','{}');
INSERT INTO operation VALUES(2,1,'e7b5e34dcc0841dd8ee4bda6a84307b9','init',1795252373805,21472,'vm',NULL,'main','[{"id":"main","before":null,"after":{"name":"Main conversation","history":[],"tip":["0d45dc0c3b2a46659fc66133273be095",0],"created_at":1795252373805,"updated_at":1795252373805,"operation":1}}]','{}');
INSERT INTO operation VALUES(3,1,'d24d32c48f8347f78ad048752a5e3c9a','init',1795252373810,21472,'vm',NULL,'main','[{"id":"main","before":null,"after":{"name":"Main conversation","history":[],"tip":["1616e641899f40298ee29a131ddacb78",0],"created_at":1795252373809,"updated_at":1795252373809,"operation":1}}]','{}');

-- Table  search_index
DELETE FROM sqlite_schema WHERE name='search_index' AND type='table';
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table','search_index','search_index',0,'CREATE VIRTUAL TABLE search_index USING fts5 (words, content='''', contentless_delete=1, tokenize=''ascii'')');

-- Table  search_index_config
DROP TABLE IF EXISTS search_index_config;
CREATE TABLE 'search_index_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO search_index_config VALUES('version',4);

-- Table  search_index_data
DROP TABLE IF EXISTS search_index_data;
CREATE TABLE 'search_index_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO search_index_data VALUES(1,X'0404');
INSERT INTO search_index_data VALUES(10,X'00000000FF00000101010100010101010101000003');
INSERT INTO search_index_data VALUES(137438953473,X'0000002302306502020301036F6E65010202010574687265650302020202776F0202020406080A');

-- Table  search_index_docsize
DROP TABLE IF EXISTS search_index_docsize;
CREATE TABLE 'search_index_docsize'(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER);
INSERT INTO search_index_docsize VALUES(1,X'01',1);
INSERT INTO search_index_docsize VALUES(2,X'02',1);
INSERT INTO search_index_docsize VALUES(3,X'01',1);
INSERT INTO search_index_docsize VALUES(4,X'00',2);

-- Table  search_index_idx
DROP TABLE IF EXISTS search_index_idx;
CREATE TABLE 'search_index_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
INSERT INTO search_index_idx VALUES(1,X'',2);

-- Table  search_mark
DROP TABLE IF EXISTS search_mark;
CREATE TABLE search_mark (
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  PRIMARY KEY (session, segment)
) STRICT, WITHOUT ROWID;
INSERT INTO search_mark VALUES(1,1,3);
INSERT INTO search_mark VALUES(1,2,1);

-- Table  search_run
DROP TABLE IF EXISTS search_run;
CREATE TABLE search_run (
  first INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL
) STRICT;
INSERT INTO search_run VALUES(1,1,1,0,3);
INSERT INTO search_run VALUES(4,1,2,0,1);
-- Triggers and indices on  search_run
CREATE UNIQUE INDEX search_run_place ON search_run (session, segment, start);

-- Table  search_state
DROP TABLE IF EXISTS search_state;
CREATE TABLE search_state (tokenizer TEXT NOT NULL) STRICT;
INSERT INTO search_state VALUES('1/14.0.0');

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
INSERT INTO segment VALUES(1,1,'3eb525bbd8854fa9bfd4e4efab06fe7b',4,X'612E2C2A4142E24AAB32B8B8D9823E77',1795252373804);
INSERT INTO segment VALUES(1,2,'46ac19885f404de5ba119abf1b314e1e',1,X'8A7799B614274543C790B13F2F909AE1',1795252373800);
INSERT INTO segment VALUES(1,3,'35c8363d327e476181a231ce0ff117d1',0,X'',1795252373802);
INSERT INTO segment VALUES(2,1,'0d45dc0c3b2a46659fc66133273be095',1,X'D8A2694504E12ACCDBA6C6966A93D7DD',1795252373809);
INSERT INTO segment VALUES(3,1,'1616e641899f40298ee29a131ddacb78',0,X'',1795252373809);
INSERT INTO segment VALUES(3,2,'theirs',10,X'1BFC123C81FCF4F6509CE6CBFAB9DBB5',0);
-- Triggers and indices on  segment
CREATE UNIQUE INDEX segment_id ON segment (session, id);

-- Table  session
DROP TABLE IF EXISTS session;
CREATE TABLE session (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  operation_floor INTEGER NOT NULL
, deleted_at INTEGER) STRICT;
INSERT INTO session VALUES(1,'talk',0,NULL);
INSERT INTO session VALUES(2,'a/b@2026-11-21T09:12:53.809Z',0,1795252373809);
INSERT INTO session VALUES(3,'laid',0,NULL);
-- Triggers and indices on  session
CREATE UNIQUE INDEX session_deleted ON session (id) WHERE deleted_at IS NOT NULL;
CREATE UNIQUE INDEX session_id ON session (id) WHERE deleted_at IS NULL;

-- For primary key autoincrements the next id to use is stored in
-- sqlite_sequence
DELETE FROM main.sqlite_sequence WHERE name='session';
INSERT INTO main.sqlite_sequence VALUES ('session', 3);

-- Database header
pragma user_version=2;
pragma application_id=1651471719;

COMMIT TRANSACTION;

-- Restoring writable schema back to default
PRAGMA writable_schema=OFF;

-- We need to force SQLite to reread the schema because otherwise it doesn't
-- know that the virtual tables we inserted directly into sqlite_schema exist.
BEGIN;
CREATE TABLE no_such_table(x,y,z);
ROLLBACK;
