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

// Version 5 of Golden Retriever keeps its state in localStorage, version 6 in IndexedDB.
export async function remembered() {
  const texts = Object.values(localStorage)
  for (const { name } of await indexedDB.databases()) {
    const database = await answer(indexedDB.open(name))
    for (const store of database.objectStoreNames) {
      const entries = await answer(database.transaction(store).objectStore(store).getAll())
      texts.push(...entries.map((entry) => JSON.stringify(entry)))
    }
    database.close()
  }
  return texts.some((text) => text.includes('uploadId'))
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

Object.assign(window, { begin, choose, remembered, ready: true })
