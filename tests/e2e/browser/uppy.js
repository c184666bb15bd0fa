// One page for every version and mode of Uppy: what a test starts, and what it reads of how that went.
import AwsS3 from '@uppy/aws-s3'
import Uppy from '@uppy/core'
import GoldenRetriever from '@uppy/golden-retriever'

const MODES = {
  companion: ({ endpoint }) => ({ companionEndpoint: endpoint }),
  signRequest: ({ gateway, token }) => ({
    signRequest: async (request) => {
      const response = await fetch(`${gateway}/uppy/sign`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
      })
      const answer = await response.json()
      if (!response.ok) throw new Error(answer.message)
      return answer
    },
  }),
  endpoint: ({ endpoint }) => ({ endpoint }),
  headers: ({ gateway, token }) => ({ endpoint: gateway, headers: { authorization: `Bearer ${token}` } }),
}

export function begin(options) {
  const uppy = new Uppy({ id: 'tests', debug: false })
  const seen = { success: [], errors: [], parts: 0, restored: false, done: false }
  uppy.use(AwsS3, {
    ...MODES[options.mode](options),
    shouldUseMultipart: options.multipart,
    // Parts of 5 MiB, S3's least, make several of a file of a few MiB.
    getChunkSize: () => 5 * 1024 * 1024,
    ...options.more,
  })
  if (options.retriever) {
    uppy.use(GoldenRetriever, { indexedDB: { maxFileSize: 100e6, maxTotalSize: 500e6 } })
  }
  uppy.on('upload-success', (file, response) => {
    seen.success.push({ name: file.name, url: response.uploadURL, key: response.body?.key })
  })
  uppy.on('upload-error', (file, error) => seen.errors.push(String(error?.message ?? error)))
  uppy.on('s3-multipart:part-uploaded', () => (seen.parts += 1))
  uppy.on('restored', () => (seen.restored = true))
  uppy.on('complete', () => (seen.done = true))
  Object.assign(window, { uppy, seen })
}

export function choose(input) {
  for (const file of input.files) {
    uppy.addFile({ source: 'test', name: file.name, type: file.type, data: file })
  }
}

Object.assign(window, { begin, choose, ready: true })
