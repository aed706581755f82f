import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { expect, onTestFinished, test } from 'vitest'
import { HeldBroker } from '../support/held-broker.ts'

test('what was stored before a kill is delivered after it, once for each message id', async () => {
  const broker = await HeldBroker.start('nats')
  onTestFinished(() => broker.end())
  const connection = await connect({ servers: broker.address, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
  onTestFinished(() => connection.close())
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: 'payments', subjects: ['payments.>'] })
  await manager.consumers.add('payments', { durable_name: 'books', ack_policy: AckPolicy.Explicit })
  const publisher = jetstream(connection)
  for (const msgID of ['one', 'two', 'one']) await publisher.publish('payments.made', msgID, { msgID })

  await broker.restart('SIGKILL')
  const consumer = await jetstream(connection).consumers.get('payments', 'books')
  const seen: string[] = []
  for await (const message of await consumer.fetch({ max_messages: 2, expires: 5_000 })) {
    seen.push(message.string())
    expect(await message.ackAck()).toBe(true)
  }
  expect(seen).toEqual(['one', 'two'])
})
