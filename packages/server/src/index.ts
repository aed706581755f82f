export { Gateway, type GatewayOptions, type GatewayProtection, type GatewayRoute } from './gateway/gateway.ts'
export { defaultStoreUrl, type NamedStore, type NamedStoreOptions, namedStore } from './store/named-store.ts'
