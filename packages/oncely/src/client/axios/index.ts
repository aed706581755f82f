export {
  type AxiosAnswer,
  type AxiosCall,
  type AxiosCallConfig,
  type IdempotentAxiosOptions,
  idempotentAxios,
} from './idempotent-axios.ts'
