// A program that follows the simple protocol, as others write it: create exclusively; where that fails look, judge
// stale (its process is gone, or it is too old), unlink, create; release by unlink.
//
//   node lock_peer.js work PATH LOG STALE_MS          holds, again and again, and writes the torture's records
//   node lock_peer.js once PATH LOG STALE_MS          says "held" when it has the lock, releases when it hears a line
"use strict";
const fs = require("fs");
const os = require("os");
const [, , mode, path, logPath, staleText] = process.argv;
const lock = path + ".lock";
const stale = Number(staleText);
const log = fs.openSync(logPath, "a");
const pause = new Int32Array(new SharedArrayBuffer(4));
const rest = (ms) => Atomics.wait(pause, 0, 0, ms);
const write = (word, ...more) => fs.writeSync(log, [word, "peer", ...more].join(" ") + "\n");

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function isStale() {
  let text, info;
  try {
    text = fs.readFileSync(lock, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return false; // gone: try to create
    throw error;
  }
  try {
    info = JSON.parse(text);
  } catch {
    write("peer-garbage", JSON.stringify(text).replaceAll(" ", "_"));
    return true;
  }
  if (info.hostname === os.hostname() && !isAlive(info.pid)) return true;
  const age = Date.now() - info.timestamp;
  if (age > stale) write("peer-age", info.pid, age);
  return age > stale;
}

function create() {
  let fd;
  try {
    fd = fs.openSync(lock, "wx");
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
  fs.writeSync(fd, JSON.stringify({ pid: process.pid, timestamp: Date.now(), hostname: os.hostname() }));
  fs.closeSync(fd);
  return true;
}

function acquire() {
  if (create()) return true;
  if (!isStale()) return false;
  try {
    fs.unlinkSync(lock);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  return create();
}

function release() {
  try {
    fs.unlinkSync(lock);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

if (mode === "work") {
  for (;;) {
    if (!acquire()) {
      rest(Math.random());
      continue;
    }
    write("peer-begin");
    for (let left = Math.random() * 4; left > 1; left--) {
      rest(Math.random() * 2);
      write("peer-inside");
    }
    write("peer-end");
    release();
    rest(Math.random());
  }
} else {
  let tries = 0;
  while (!acquire()) {
    if (++tries % 50 === 0) fs.writeSync(1, "tried\n");
    rest(2);
  }
  write("peer-begin");
  fs.writeSync(1, "held\n");
  fs.readSync(0, Buffer.alloc(16));
  release();
  fs.writeSync(1, "released\n");
}
