export { Gateway, type GatewayOptions } from './gateway/gateway.ts'
export { defaultStoreUrl, type NamedStore, type NamedStoreOptions, namedStore } from './store/named-store.ts'
