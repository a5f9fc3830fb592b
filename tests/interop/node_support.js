'use strict'
// What support.py is for the Python suites, for node_driver.js: command line, report, the cases
// of cases.json.

const fs = require('fs')
const path = require('path')
const readline = require('readline')
const { isDeepStrictEqual, inspect } = require('util')

// An error reply. The connector keeps only its text.
class ServerError extends Error {}

class Report {
  passed = 0
  failed = 0

  // Runs one check: it fails by throwing, or by taking longer than `limitMs`. Tells whether it
  // passed.
  async run(name, check, limitMs = 20000) {
    try {
      await inTime(check(), limitMs)
    } catch (problem) {
      this.failed += 1
      console.log(`not ok ${name}: ${String(problem.message || problem).replaceAll('\n', ' ')}`)
      return false
    }
    this.passed += 1
    console.log(`ok ${name}`)
    return true
  }

  skip(name, reason) {
    console.log(`skip ${name}: ${reason}`)
  }

  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`)
    // Nothing checked is not a success either.
    return this.failed === 0 && this.passed > 0 ? 0 : 1
  }
}

function inTime(promise, limitMs) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${limitMs} ms`)), limitMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function options(phases) {
  const parsed = { server: 'vestibule', password: '' }
  const names = ['addr', 'phase', 'server', 'user', 'password']
  const given = process.argv.slice(2)
  for (let i = 0; i < given.length; i += 2) {
    const name = given[i].replace(/^--/, '')
    if (!names.includes(name) || given[i + 1] === undefined)
      throw new Error(`bad argument ${given[i]}`)
    parsed[name] = given[i + 1]
  }
  if (
    !parsed.addr ||
    !phases[parsed.phase] ||
    !['vestibule', 'tarantool'].includes(parsed.server)
  ) {
    throw new Error(
      `--addr HOST:PORT --phase ${Object.keys(phases).join('|')} [--server vestibule|tarantool]`
    )
  }
  const colon = parsed.addr.lastIndexOf(':')
  parsed.host = parsed.addr.slice(0, colon)
  parsed.port = Number(parsed.addr.slice(colon + 1))
  return parsed
}

async function main(phases) {
  const parsed = options(phases)
  const report = new Report()
  await report.run(
    `${parsed.phase}/completed`,
    () => phases[parsed.phase](parsed, report),
    120000
  )
  // The connector's sockets and timers would keep the process alive.
  process.exit(report.finish())
}

function expectEqual(got, wanted) {
  if (!isDeepStrictEqual(got, wanted)) {
    const short = value =>
      inspect(value, { depth: 8, breakLength: Infinity, maxStringLength: 200 })
    throw new Error(`got ${short(got)}, wanted ${short(wanted)}`)
  }
}

// `text`: a string to be equal to, or a regular expression.
async function expectError(text, request) {
  let result
  try {
    result = await request()
  } catch (error) {
    if (!(error instanceof ServerError)) throw error
    const fits = typeof text === 'string' ? error.message === text : text.test(error.message)
    if (!fits) throw new Error(`got error ${inspect(error.message)}, wanted ${inspect(text)}`)
    return
  }
  throw new Error(`got ${inspect(result)}, wanted error ${inspect(text)}`)
}

// Prints READY and waits for a line: meanwhile the harness restarts the server.
function waitForRestart() {
  return new Promise((resolve, reject) => {
    const lines = readline.createInterface({ input: process.stdin })
    lines.once('line', () => {
      resolve()
      lines.close()
    })
    lines.once('close', () =>
      reject(new Error('stdin was closed: expected a line once the server was restarted'))
    )
    console.log('READY')
  })
}

// ---- cases.json -----------------------------------------------------------------------

// `big` makes the connector's form of an integer beyond 2^53 from its digits.
function loadCases(suite, big) {
  const text = fs.readFileSync(path.join(__dirname, 'cases.json'), 'utf8')
  return JSON.parse(text, (_key, value) => {
    if (typeof value === 'string') return value.replaceAll('@', `interop_${suite}_`)
    if (value && typeof value === 'object' && value.$big) return big(value.$big)
    return value
  })
}

async function runCases(client, report, suite, server, big) {
  const document = loadCases(suite, big)
  for (const group of document.groups) {
    const names = Object.fromEntries(
      group.spaces.map(short => [short, `interop_${suite}_${short}`])
    )
    if (
      !(await report.run(`${group.name}/setup`, () => setUpGroup(client, document, group, names)))
    )
      continue
    for (const one of group.cases) {
      const name = `${group.name}/${one.name}`
      const reason = one.not_for && one.not_for[suite]
      if (reason) report.skip(name, reason)
      else await report.run(name, () => runCase(client, one, server))
    }
    await report.run(`${group.name}/teardown`, async () => {
      for (const name of Object.values(names)) await dropSpace(client, name)
    })
  }
}

async function setUpGroup(client, document, group, names) {
  for (const [short, name] of Object.entries(names)) {
    const space = document.spaces[short]
    await dropSpace(client, name)
    await createSpace(client, name, space.format, space.indexes)
  }
  for (const [short, rows] of Object.entries(group.rows || {})) {
    for (const row of rows) await client.replace(names[short], row)
  }
}

async function runCase(client, one, server) {
  const [action, ...args] = one.do
  let { ok, error } = one
  if (server === 'tarantool' && (one.ok26 || one.error26)) {
    ok = one.ok26
    error = one.error26
  }
  // error[0], the code, is not to be seen through this connector.
  if (error) return expectError(error[1], () => client[action](...args))
  const result = await client[action](...args)
  if (ok) expectEqual(result, client.readBack(ok))
}

// ---- spaces ---------------------------------------------------------------------------

const PRIMARY_BY_ID = [
  'primary',
  { parts: [{ field: 1, type: 'unsigned' }], if_not_exists: true }
]

async function dropSpace(client, name) {
  try {
    await client.call(`box.space.${name}:drop`, [])
  } catch (error) {
    // The space is not there: nothing left over from an earlier run.
    if (error.message !== `Procedure 'box.space.${name}:drop' is not defined`) throw error
  }
}

async function createSpace(client, name, format, indexes = [PRIMARY_BY_ID]) {
  const given = format ? { if_not_exists: true, format } : { if_not_exists: true }
  await client.call('box.schema.space.create', [name, given])
  for (const index of indexes) await client.call(`box.space.${name}:create_index`, index)
}

async function inFreshSpace(client, name, check) {
  await dropSpace(client, name)
  await createSpace(client, name)
  try {
    await check(name)
  } finally {
    await dropSpace(client, name)
  }
}

module.exports = {
  ServerError,
  createSpace,
  dropSpace,
  expectEqual,
  expectError,
  inFreshSpace,
  main,
  runCases,
  waitForRestart
}
