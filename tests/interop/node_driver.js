#!/usr/bin/env node
'use strict'
// Drives a running server with the npm connector `tarantool-driver` (found through NODE_PATH):
//
//     node_driver.js --addr HOST:PORT [--server vestibule|tarantool]
//         --phase basic|write|verify|reconnect|blocked|control
//
// What the connector does not let one see: the code of an error (checks compare the text) and its
// fields. It calls procedures by CALL_16 only.

const TarantoolConnection = require('tarantool-driver')
const { Uint64BE } = requireOfDriver('int64-buffer')
const support = require('./node_support')
const { expectEqual, expectError } = support

const SUITE = 'node'
const NO_LIMIT = 0xffffffff
const PERSISTED_ROWS = 100
const PERSISTED_FORMAT = [
  { name: 'id', type: 'unsigned' },
  { name: 'name', type: 'string' },
  { name: 'number', type: 'integer' },
  { name: 'list', type: 'array' }
]
const STATE_KEYS = [
  'state',
  'role',
  'epoch',
  'reason',
  'progress',
  'since',
  'queued',
  'in_flight',
  'connections'
]
// A blocked server must answer at once; this bound is for a loaded test machine, not a statement
// about the server.
const BLOCKED_STEP_LIMIT_MS = 5000
const RECONNECT_LIMIT_MS = 30000
// The text names the reason; that it is about being busy is all that holds for every reason.
const BUSY = /busy/

// int64-buffer is the driver's own dependency, wherever npm has put it.
function requireOfDriver(name) {
  return require(require.resolve(name, { paths: [require.resolve('tarantool-driver')] }))
}

class Client {
  constructor(connection) {
    this.connection = connection
  }

  async request(method, ...args) {
    try {
      return await this.connection[method](...args)
    } catch (error) {
      throw error.name === 'TarantoolError' ? new support.ServerError(error.message) : error
    }
  }

  insert(space, row) {
    return this.request('insert', space, row)
  }
  replace(space, row) {
    return this.request('replace', space, row)
  }
  update(space, index, key, ops) {
    return this.request('update', space, index, key, ops)
  }
  delete(space, index, key) {
    return this.request('delete', space, index, key)
  }
  upsert(space, row, ops) {
    return this.request('upsert', space, ops, row)
  }
  call(name, args) {
    return this.request('call', name, ...args)
  }

  select(space, index, key, { iterator = 'EQ', limit = NO_LIMIT, offset = 0 }) {
    return this.request('select', space, index, limit, offset, iterator.toLowerCase(), key)
  }

  async ping() {
    expectEqual(await this.request('ping'), true)
  }

  // The driver decodes every integer to a number, also where that loses digits.
  readBack(value) {
    if (value instanceof Uint64BE) return Number(value.toString(10))
    return Array.isArray(value) ? value.map(item => this.readBack(item)) : value
  }

  close() {
    this.connection.disconnect()
  }
}

// Resolves once connected and logged in; rejects with what the server or the socket said.
function connect(options, user, password, settings = {}) {
  return new Promise((resolve, reject) => {
    const connection = new TarantoolConnection({
      host: options.host,
      port: options.port,
      username: user,
      password,
      // No attempts behind the suite's back, except where coming back is what is checked.
      retryStrategy: null,
      ...settings
    })
    connection.once('connect', () => {
      connection.removeAllListeners('error')
      connection.on('error', () => {}) // a lost connection shows in the requests
      resolve(new Client(connection))
    })
    connection.once('error', error => {
      connection.on('error', () => {})
      reject(error.name === 'TarantoolError' ? new support.ServerError(error.message) : error)
    })
  })
}

// ---- phase basic ----------------------------------------------------------------------

async function basic(options, report) {
  const client = await connect(options)
  await report.run('connect/ping', () => client.ping())
  await report.run('connect/schema', () => checkSchema(client))
  await support.runCases(client, report, SUITE, options.server, digits => new Uint64BE(digits))
  await report.run('call/box_info_by_call_16', () => checkBoxInfo(client))
  await report.run('big_values', () =>
    support.inFreshSpace(client, 'interop_node_big', space => checkBigValues(client, space))
  )
  await report.run('pipelining', () =>
    support.inFreshSpace(client, 'interop_node_pipe', space => checkPipelining(client, space))
  )
  await report.run('pipeline_in_one_write', () =>
    support.inFreshSpace(client, 'interop_node_one', space => checkOneWrite(client, space))
  )
  await report.run('unknown_space_name', () =>
    expectError('Cannot read a space name or space is not defined', () =>
      client.insert('interop_node_gone', [1])
    )
  )
  await report.run('auth/login', () => checkLogin(client, options))
  client.close()
}

// The driver looks up each name by the catalogue's index `name`.
async function checkSchema(client) {
  const space = await client.select(281, 2, ['_vindex'], { limit: 1 })
  expectEqual([space.length, space[0][0], space[0][2]], [1, 289, '_vindex'])
  const index = await client.select('_vindex', 'name', [281, 'name'], { limit: 1 })
  expectEqual([index.length, index[0][0], index[0][1], index[0][2]], [1, 281, 2, 'name'])
}

async function checkBoxInfo(client) {
  // CALL_16 wraps the returned map into a tuple.
  const [[info]] = await client.call('box.info', [])
  expectEqual([info.ro, info.status], [false, 'running'])
}

async function checkBigValues(client, space) {
  const big = 'x'.repeat(1 << 20)
  expectEqual(await client.replace(space, [1, big]), [[1, big]])
  expectEqual(await client.select(space, 0, [1], {}), [[1, big]])
  // Ten of them in one reply: far beyond any socket buffer.
  for (let key = 2; key <= 10; key++) await client.replace(space, [key, big])
  const rows = await client.select(space, 0, [], { iterator: 'ALL' })
  expectEqual(
    rows.map(row => [row[0], row[1].length]),
    Array.from({ length: 10 }, (_, i) => [i + 1, 1 << 20])
  )
  await client.ping()
}

async function checkPipelining(client, space) {
  const keys = Array.from({ length: 1000 }, (_, key) => key)
  // By number: looking a name up yields, and the driver forgets requests that are issued while
  // half a reply is read.
  const [[id]] = await client.select('_vspace', 'name', [space], { limit: 1 })
  const written = await Promise.all(keys.map(key => client.insert(id, [key, `row ${key}`])))
  expectEqual(
    written,
    keys.map(key => [[key, `row ${key}`]])
  )
  const read = await Promise.all(keys.map(key => client.select(id, 0, [key], {})))
  expectEqual(read, written)
}

// The driver's own pipeline puts all its requests into one write.
async function checkOneWrite(client, space) {
  const [[id]] = await client.select('_vspace', 'name', [space], { limit: 1 })
  const pipeline = client.connection.pipeline()
  pipeline.insert(id, [1, 'one'])
  pipeline.insert(id, [1, 'again'])
  pipeline.update(id, 0, [1], [['=', 1, 'two']])
  pipeline.select(id, 0, 10, 0, 'eq', [1])
  const results = await pipeline.exec()
  expectEqual(
    results.map(([error, rows]) => (error ? 'error' : rows)),
    [[[1, 'one']], 'error', [[1, 'two']], [[1, 'two']]]
  )
}

async function checkLogin(client, options) {
  const [user, password] = ['interop_node_user', 's3cret-пароль']
  const bad = (who, known) => {
    // 2.6 lets a client find out which users exist; today's Tarantool does not.
    if (options.server === 'tarantool')
      return known
        ? `Incorrect password supplied for user '${who}'`
        : `User '${who}' is not found`
    return 'User not found or supplied credentials are invalid'
  }
  // Left over from a broken run, or not there.
  await client.call('box.schema.user.drop', [user]).catch(() => {})
  await client.call('box.schema.user.create', [user, { password }])
  const loggedIn = await connect(options, user, password)
  await loggedIn.ping()
  loggedIn.close()
  await expectError(bad(user, true), () => connect(options, user, 'wrong'))
  await expectError(bad('interop_node_stranger', false), () =>
    connect(options, 'interop_node_stranger', 'any')
  )
  await client.call('box.schema.user.drop', [user])
  await expectError(bad(user, false), () => connect(options, user, password))
}

// ---- phases write, verify, reconnect --------------------------------------------------

const persistedRow = number => [
  number,
  `row ${number} ä`,
  number * number - 50,
  [number, [number + 1]]
]

const persistedRows = () => Array.from({ length: PERSISTED_ROWS }, (_, i) => persistedRow(i + 1))

const PERSISTED = `persist_${SUITE}`

async function write(options, report) {
  const client = await connect(options)
  await report.run('write/create', async () => {
    await support.dropSpace(client, PERSISTED)
    await support.createSpace(client, PERSISTED, PERSISTED_FORMAT)
  })
  await report.run('write/rows', async () => {
    for (const row of persistedRows()) expectEqual(await client.insert(PERSISTED, row), [row])
  })
  await report.run('write/read_back', () => checkRows(client))
}

async function checkRows(client) {
  expectEqual(await client.select(PERSISTED, 'primary', [], { iterator: 'ALL' }), persistedRows())
}

async function verify(options, report) {
  const client = await connect(options)
  await report.run('verify/catalogue', async () => {
    expectEqual(await client.call(`box.space.${PERSISTED}:format`, []), [PERSISTED_FORMAT])
  })
  await report.run('verify/rows', () => checkRows(client))
  await report.run('verify/still_unique', () =>
    expectError(/^Duplicate key exists/, () => client.insert(PERSISTED, persistedRow(1)))
  )
  await report.run('verify/still_writes', async () => {
    expectEqual(await client.replace(PERSISTED, persistedRow(7)), [persistedRow(7)])
  })
}

async function reconnect(options, report) {
  const space = `reconnect_${SUITE}`
  const client = await connect(options, null, null, { retryStrategy: () => 100 })
  const before = await report.run('reconnect/before', async () => {
    await support.dropSpace(client, space)
    await support.createSpace(client, space)
    expectEqual(await client.insert(space, [1, 'before']), [[1, 'before']])
  })
  if (!before) return
  await support.waitForRestart()
  // While it is not connected the driver keeps requests back and sends them later.
  await report.run('reconnect/connector_came_back', () => client.ping(), RECONNECT_LIMIT_MS)
  await report.run('reconnect/old_row', async () => {
    expectEqual(await client.select(space, 'primary', [1], {}), [[1, 'before']])
  })
  await report.run('reconnect/new_row', async () =>
    expectEqual(await client.insert(space, [2, 'after']), [[2, 'after']])
  )
  await report.run('reconnect/drop', () => support.dropSpace(client, space))
}

// ---- phases blocked and control -------------------------------------------------------

async function blocked(options, report) {
  let client
  const step = (name, action) =>
    report.run(
      `blocked/${name}`,
      async () => {
        const start = performance.now()
        await action()
        console.log(`# blocked/${name} took ${(performance.now() - start).toFixed(2)} ms`)
      },
      BLOCKED_STEP_LIMIT_MS
    )

  if (
    !(await step('connect', async () => {
      client = await connect(options, options.user, options.password)
    }))
  )
    return
  await step('schema', () => checkSchema(client))
  await step('ping', () => client.ping())
  await step('write_is_refused', () =>
    expectError(BUSY, () => client.replace(PERSISTED, persistedRow(1)))
  )
  for (const number of [1, 42, PERSISTED_ROWS]) {
    await step(`read_row_${number}`, async () => {
      expectEqual(await client.select(PERSISTED, 'primary', [number], {}), [persistedRow(number)])
    })
  }
  await step('state', async () =>
    expectEqual(onlyMap(await client.call('vestibule.state', [])).state, 'solo')
  )
  await step('ping_again', () => client.ping())
  client.close()
}

async function control(options, report) {
  const space = `control_${SUITE}`
  const client = await connect(options)
  await support.dropSpace(client, space)
  await support.createSpace(client, space)
  await report.run('control/state', () => checkState(client, 'assist'))
  try {
    await report.run('control/solo', () => client.call('vestibule.solo', ['maintenance']))
    await report.run('control/write_is_refused', () =>
      expectError(BUSY, () => client.replace(space, [1, 'refused']))
    )
    await report.run('control/ping_in_solo', () => client.ping())
    await report.run('control/state_in_solo', () => checkState(client, 'solo', 'maintenance'))
  } finally {
    // Whatever failed above: the next suite must not find the server in solo.
    await report.run('control/assist', () => client.call('vestibule.assist', []))
  }
  await report.run('control/state_after', () => checkState(client, 'assist'))
  await report.run('control/write_after', async () =>
    expectEqual(await client.replace(space, [1, 'ok']), [[1, 'ok']])
  )
  await report.run('control/refused_was_not_executed', async () =>
    expectEqual(await client.select(space, 0, [], {}), [[1, 'ok']])
  )
  for (const kind of ['connections', 'requests', 'transitions', 'limits']) {
    await report.run(`control/show_${kind}`, () => checkShow(client, kind))
  }
  await report.run('control/drop', () => support.dropSpace(client, space))
}

async function checkState(client, state, reason) {
  const values = onlyMap(await client.call('vestibule.state', []))
  const missing = STATE_KEYS.filter(key => !(key in values))
  expectEqual(missing, [])
  expectEqual(values.state, state)
  if (reason && !String(values.reason).includes(reason))
    throw new Error(`reason ${values.reason} does not tell ${reason}`)
}

// CALL_16 wraps a returned map into a tuple: [[map]].
function onlyMap(data) {
  expectEqual([data.length, data[0].length], [1, 1])
  return data[0][0]
}

// An array of maps is a tuple as it is: [[map, map, ...]].
async function checkShow(client, kind) {
  const data = await client.call('vestibule.show', [kind])
  expectEqual(data.length, 1)
  const isMap = value => value !== null && typeof value === 'object' && !Array.isArray(value)
  if (!Array.isArray(data[0]) || !data[0].every(isMap))
    throw new Error(`wanted an array of maps, got ${JSON.stringify(data[0])}`)
  if (['connections', 'limits'].includes(kind) && data[0].length === 0)
    throw new Error('is empty')
}

support.main({ basic, write, verify, reconnect, blocked, control })
