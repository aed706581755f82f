import { createOncely } from 'oncely'
import type { TransactionalStore } from '../../src/core/index.ts'
import { createInbox } from '../../src/inbox/index.ts'
import type { ConsumerHarness, SuiteDelivery } from '../../src/testing/index.ts'
import { LoopbackBroker, type LoopbackStore } from './loopback-broker.ts'

/** The suite's harness over the broker in this process and a real store. */
export function loopbackHarness<Tx>(stores: () => TransactionalStore<Tx>, own: LoopbackStore<Tx>): ConsumerHarness<Tx> {
  const broker = new LoopbackBroker()
  return {
    ...own,
    ordered: true,
    consume: async (options, handler) => {
      // An instance each, as processes have.
      const oncely = createOncely({ namespace: 'suite', store: stores() })
      const operation = oncely.operation('consume', { bind: 'transaction' as never, policy: ['standard', { lease: '2s' }] })
      const inbox = createInbox(operation, { ...options, consumer: 'suite' }, (context) => handler(context as unknown as SuiteDelivery<Tx>))
      await inbox.start()
      return broker.consume(inbox)
    },
    publish: async (messages) => broker.publish(messages),
    deliverAgain: async () => broker.deliverAgain(),
    restartBroker: async () => broker.restart(),
    idle: () => broker.idle(),
  }
}
