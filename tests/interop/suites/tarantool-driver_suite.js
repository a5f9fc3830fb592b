'use strict'
// Runs the suite of tarantool-driver in mocha for tarantool-driver_suite.py, and tells it what
// became of each test. The ports that the suite dials are led to the servers there, and what it
// asks Docker for is asked for there.

const childProcess = require('child_process')
const fs = require('fs')
const net = require('net')
const path = require('path')
const readline = require('readline')
const tls = require('tls')

const [source, ports, fd] = process.argv.slice(2)
const portOf = JSON.parse(ports)
const TEST_LIMIT_MS = 20000

// ---- tarantool-driver_suite.py, which answers each order by its number -------------------

const waiting = new Map()
let orders = 0

function tell(message) {
  fs.writeSync(Number(fd), `${JSON.stringify(message)}\n`)
}

function ask(order) {
  return new Promise((resolve) => {
    const id = ++orders
    waiting.set(id, resolve)
    tell({ id, order })
  })
}

const answers = readline.createInterface({ input: process.stdin })
answers.on('line', (line) => {
  const resolve = waiting.get(Number(line))
  waiting.delete(Number(line))
  resolve()
})
// Nobody is left to tell the results to.
answers.on('close', () => process.exit(1))

// ---- what the suite reaches outside of itself -------------------------------------------

childProcess.exec = (command, done = () => {}) => {
  const asked = /^docker ((?:kill|start) \w+)$/.exec(command)
  if (!asked) throw new Error(`the suite wants to run: ${command}`)
  ask(asked[1]).then(() => done(null, '', ''))
}

const connect = net.connect
net.connect = (options) => {
  // An address that is nobody's, for a connection that times out: never dialed, it does so too.
  if (options.host === '192.0.0.0') return new net.Socket()
  const led = portOf[options.port]
  if (led && led.path) return connect({ ...options, path: led.path })
  const to = { ...options, family: 4, ...(led || {}) }
  return led && led.ca ? tls.connect(to) : connect(to)
}

// The set-up of most tests calls this one of the Lua functions; here is what it does, where there
// is no Lua.
const Connection = require(path.join(source, 'lib', 'connection.js'))
const call = Connection.prototype.call
Connection.prototype.call = function (name, ...args) {
  if (name === 'clearaddmore' && !process.env.SUITE_HAS_LUA) name = 'box.space.toaddmore:truncate'
  return call.call(this, name, ...args)
}

// ---- the suite --------------------------------------------------------------------------

const results = { passed: [], failed: {}, skipped: {} }

class Reporter {
  constructor(runner) {
    runner.on('pass', (test) => results.passed.push(test.fullTitle()))
    runner.on('pending', (test) => (results.skipped[test.fullTitle()] = 'by the suite'))
    // Also a hook, by a title of its own.
    runner.on('fail', (test, error) => (results.failed[test.fullTitle()] = String(error)))
  }
}

// Those that a failed hook kept from running have failed as well.
function addThoseNotRun(suite, titles = new Set()) {
  suite.eachTest((test) => {
    const title = test.fullTitle()
    if (titles.has(title)) results.failed[title] = 'there are two tests of this name'
    titles.add(title)
    if (!test.state && !test.isPending()) results.failed[title] = 'was not run'
  })
}

const Mocha = require('mocha')
const mocha = new Mocha({
  reporter: Reporter,
  timeout: TEST_LIMIT_MS,
  // A test that kills a server and then fails leaves the others without it.
  rootHooks: { afterEach: () => ask('start') }
})
mocha.addFile(path.join(source, 'test', 'app.js'))
// As mocha's own command does: a rejection that nobody handles fails the test that runs.
process.on('unhandledRejection', (error) => {
  throw error
})
const runner = mocha.run(() => {
  addThoseNotRun(runner.suite)
  tell({ results })
  // Its connections stay open.
  process.exit(0)
})
