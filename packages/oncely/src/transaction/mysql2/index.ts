export { fromMysql2, type Mysql2Connection, type Mysql2ConnectionOf, type Mysql2Pool, type Mysql2Query } from './mysql2-layer.ts'
