import kafkajs from 'kafkajs'
import { expect, onTestFinished, test } from 'vitest'
import { HeldBroker } from '../support/held-broker.ts'

test('what was acknowledged before a kill is delivered after it', async () => {
  const broker = await HeldBroker.start('kafka')
  onTestFinished(() => broker.end())
  const kafka = new kafkajs.Kafka({
    brokers: [broker.address],
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { retries: 30, maxRetryTime: 500 },
  })
  const admin = kafka.admin()
  await admin.connect()
  onTestFinished(() => admin.disconnect())
  await admin.createTopics({ topics: [{ topic: 'payments', numPartitions: 1 }], waitForLeaders: true })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  await producer.send({ topic: 'payments', acks: -1, messages: ['one', 'two'].map((value) => ({ value })) })

  await broker.restart('SIGKILL')
  const consumer = kafka.consumer({ groupId: 'books' })
  await consumer.connect()
  onTestFinished(() => consumer.disconnect())
  await consumer.subscribe({ topics: ['payments'], fromBeginning: true })
  const seen: string[] = []
  await new Promise<void>((resolve, reject) => {
    const run = consumer.run({
      eachMessage: async ({ message }) => {
        seen.push(String(message.value))
        if (seen.length === 2) resolve()
      },
    })
    run.catch(reject)
  })
  expect(seen).toEqual(['one', 'two'])
}, 60_000)
