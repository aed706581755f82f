import amqp from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { HeldBroker } from '../support/held-broker.ts'

test('what a quorum queue confirmed before a restart is delivered after it', async () => {
  const broker = await HeldBroker.start('rabbitmq')
  onTestFinished(() => broker.end())
  const before = await amqp.connect(broker.url)
  before.on('error', () => {})
  const publisher = await before.createConfirmChannel()
  publisher.on('error', () => {})
  await publisher.assertQueue('payments', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  for (const text of ['one', 'two']) publisher.sendToQueue('payments', Buffer.from(text), { persistent: true, messageId: text })
  await publisher.waitForConfirms()

  await broker.restart()
  const after = await amqp.connect(broker.url)
  after.on('error', () => {})
  onTestFinished(() => after.close())
  const channel = await after.createChannel()
  await channel.prefetch(2)
  const seen: string[] = []
  await new Promise<void>((resolve) => {
    channel.consume('payments', (message) => {
      if (message === null) return
      seen.push(String(message.properties.messageId))
      channel.ack(message)
      if (seen.length === 2) resolve()
    })
  })
  expect(seen).toEqual(['one', 'two'])
}, 60_000)
