declare module 'express4' {
  // The types of the newest one: what the suite uses is the same in both.
  export { default } from 'express'
}
