import type { PlantedBug } from './planted-bugs.ts'

/** What must never go wrong with messages that leave through the outbox. */
export const outboxBugs: readonly PlantedBug[] = [
  {
    name: 'outbox-settles-late',
    rule: 'outbox',
    bug: 'a relay whose lease was lost still deletes and holds',
    caughtBy: { file: 'store/sqlite-outbox.test.ts', test: 'lease: a late settlement changes nothing' },
  },
  {
    name: 'outbox-passes-the-head',
    rule: 'outbox',
    bug: 'messages behind one that was not sent go out before it',
    caughtBy: { file: 'store/memory-outbox.test.ts', test: 'held: the aggregate waits as a whole, and nobody else does' },
  },
  {
    name: 'outbox-literal-unchecked',
    rule: 'outbox',
    bug: 'a redirect to an address that is not public is followed',
    caughtBy: { file: 'outbox/webhook-sink.test.ts', test: 'an address that is not public is refused behind a redirect' },
  },
  {
    name: 'outbox-name-unchecked',
    rule: 'outbox',
    bug: 'a name that leads to an address that is not public is connected to',
    caughtBy: { file: 'outbox/webhook-sink.test.ts', test: 'an address that is not public is refused: localhost' },
  },
  {
    name: 'outbox-mapped-address',
    rule: 'outbox',
    bug: 'an IPv4 address inside IPv6 is not judged as what it is',
    caughtBy: { file: 'outbox/address-guard.test.ts', test: 'the address guard refuses ::ffff:7f00:1 (loopback, mapped, in hexadecimal)' },
  },
  {
    name: 'outbox-late-send',
    rule: 'outbox',
    bug: 'a message sent after its attempt is taken and never goes out',
    caughtBy: { file: 'core/outbox-buffer.test.ts', test: 'a message whose attempt has ended' },
  },
  {
    name: 'outbox-without-the-completion',
    rule: 'outbox',
    bug: 'messages are not written with the completion',
    caughtBy: { file: 'store/sqlite-outbox.test.ts', test: 'the messages of a handler commit with its outcome, once' },
  },
]
