export { Gateway, type GatewayOptions } from './gateway/gateway.ts'
export type { GatewayProtection, GatewayRoute } from './gateway/gateway-protection.ts'
export { defaultStoreUrl, type NamedStore, type NamedStoreOptions, namedStore } from './store/named-store.ts'
