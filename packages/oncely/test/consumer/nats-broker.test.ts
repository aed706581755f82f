import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { expect, onTestFinished, test } from 'vitest'
import { HeldBroker } from '../support/held-broker.ts'

test('what was stored before a kill is delivered after it, once for each message id', async () => {
  const broker = await HeldBroker.start('nats')
  onTestFinished(() => broker.end())
  const before = await connect({ servers: broker.address })
  onTestFinished(() => before.close())
  const manager = await jetstreamManager(before)
  await manager.streams.add({ name: 'payments', subjects: ['payments.>'] })
  await manager.consumers.add('payments', { durable_name: 'books', ack_policy: AckPolicy.Explicit })
  const publisher = jetstream(before)
  for (const msgID of ['one', 'two', 'one']) await publisher.publish('payments.made', msgID, { msgID })

  await broker.restart('SIGKILL')
  const after = await connect({ servers: broker.address })
  onTestFinished(() => after.close())
  const consumer = await jetstream(after).consumers.get('payments', 'books')
  const seen: string[] = []
  for await (const message of await consumer.fetch({ max_messages: 2, expires: 5_000 })) {
    seen.push(message.string())
    expect(await message.ackAck()).toBe(true)
  }
  expect(seen).toEqual(['one', 'two'])
})
