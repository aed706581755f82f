/** Shows how far a run is. */
export interface Progress {
  show(done: number, total: number, kills: number): void
  /** Leaves the line for good. */
  end(): void
}

const width = 24

/** A bar that redraws itself. */
export function progressBar(title: string, stream: NodeJS.WriteStream): Progress {
  let shown = ''
  return {
    show: (done, total, kills) => {
      const filled = Math.floor((done / total) * width)
      const line = `${title}  ${'█'.repeat(filled)}${'░'.repeat(width - filled)}  ${done}/${total} payments, ${kills} kills`
      if (line === shown) return
      shown = line
      stream.write(`\r${line}\u001b[K`)
    },
    end: () => void stream.write('\n'),
  }
}

/** A line for each quarter, for logs and pipes. */
export function progressLines(title: string, stream: NodeJS.WritableStream): Progress {
  let quarters = 0
  return {
    show: (done, total, kills) => {
      const reached = Math.floor((done / total) * 4)
      if (reached === quarters) return
      quarters = reached
      stream.write(`${title}  ${done}/${total} payments, ${kills} kills\n`)
    },
    end: () => {},
  }
}
