/**
 * The codecs for JPEG, JPEG-LS, JPEG 2000 and HTJ2K: the WebAssembly module of dcmjs-codecs (libjpeg, CharLS, OpenJPEG, OpenJPH),
 * one frame at a time. Its own JavaScript takes whole data sets in the form of dcmjs, which we do not have; the module's functions
 * are few.
 *
 * A codec that is given hostile bytes can harm nothing but the memory of its instance. An instance is thrown away once a codec
 * failed in it, which also leaks what the codec held, and once its memory has grown large.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DicomError } from '../dicom-error.ts';

/** The part of the WebAssembly interface used here; the type library for servers does not declare it. */
type WasmMemory = { readonly buffer: ArrayBuffer };
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new () => WasmMemory;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, (...values: number[]) => unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
};

export type FrameShape = {
  readonly rows: number;
  readonly columns: number;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly samplesPerPixel: number;
  readonly isSigned: boolean;
  readonly photometricInterpretation: string;
  readonly isPlanar: boolean;
};

export type CodecResult = { readonly bytes: Buffer; readonly shape: FrameShape };

export type Decoder = 'DecodeJpeg' | 'DecodeJpegLs' | 'DecodeJpeg2000' | 'DecodeHtJpeg2000';
export type Encoder = 'EncodeJpeg' | 'EncodeJpegLs' | 'EncodeJpeg2000' | 'EncodeHtJpeg2000';

/** `quality`: of lossy JPEG, 1 to 100. */
export type EncodeOptions = { readonly lossy: boolean; readonly quality?: number };

/** In the order of the module's enumeration. */
const PHOTOMETRIC = [
  'MONOCHROME1',
  'MONOCHROME2',
  'PALETTE COLOR',
  'RGB',
  'YBR_FULL',
  'YBR_FULL_422',
  'YBR_PARTIAL_422',
  'YBR_PARTIAL_420',
  'YBR_ICT',
  'YBR_RCT',
];
/** Memory of an instance never shrinks; one of more than this is not kept. */
const KEPT_MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const JPEG_QUALITY_DEFAULT = 90;

type Instance = {
  readonly memory: WasmMemory;
  readonly call: (name: string, ...values: readonly number[]) => number;
};

let compiled: object | undefined;
let kept: Instance | undefined;

/** Throws `malformed` where the codec cannot decode the frame. */
export function decodeNatively(decoder: Decoder, encoded: Buffer, shape: FrameShape): CodecResult {
  return inInstance((instance) => {
    const { call } = instance;
    const context = contextOf(instance, shape);
    call('SetEncodedBufferSize', context, encoded.byteLength);
    bytesAt(instance, call('GetEncodedBuffer', context), encoded.byteLength).set(encoded);
    const parameters = call('CreateDecoderParameters');
    call('SetConvertColorspaceToRgb', parameters, 0);
    call(decoder, context, parameters);
    call('ReleaseDecoderParameters', parameters);
    return taken(instance, context, 'Decoded');
  });
}

/** `samples`: of each pixel together, little endian. */
export function encodeNatively(
  encoder: Encoder,
  samples: Buffer,
  { shape, options }: { shape: FrameShape; options: EncodeOptions },
): Buffer {
  return inInstance((instance) => {
    const { call } = instance;
    const context = contextOf(instance, shape);
    call('SetDecodedBufferSize', context, samples.byteLength);
    bytesAt(instance, call('GetDecodedBuffer', context), samples.byteLength).set(samples);
    const parameters = call('CreateEncoderParameters');
    const settings = {
      SetLossy: options.lossy ? 1 : 0,
      SetQuality: options.quality ?? JPEG_QUALITY_DEFAULT,
      SetSmoothingFactor: 0,
      SetSampleFactor: 0, // 4:4:4
      SetPredictor: 1,
      SetPointTransform: 0,
      SetAllowedLossyError: 0,
      SetProgressionOrder: encoder === 'EncodeHtJpeg2000' ? 2 : 0, // RPCL, LRCP
      SetRate: 0,
      SetAllowMct: 1,
    };
    for (const [name, value] of Object.entries(settings)) call(name, parameters, value);
    call(encoder, context, parameters);
    call('ReleaseEncoderParameters', parameters);
    return taken(instance, context, 'Encoded').bytes;
  });
}

function inInstance<T>(work: (instance: Instance) => T): T {
  const instance = kept ?? instantiate();
  kept = undefined;
  try {
    const result = work(instance);
    if (instance.memory.buffer.byteLength <= KEPT_MEMORY_BYTES_MAX) kept = instance;
    return result;
  } catch (cause) {
    if (cause instanceof DicomError) throw cause;
    throw new DicomError('malformed', 'A codec cannot work on a frame.', { cause });
  }
}

function contextOf({ call }: Instance, shape: FrameShape): number {
  const context = call('CreateCodecsContext');
  call('SetColumns', context, shape.columns);
  call('SetRows', context, shape.rows);
  call('SetBitsAllocated', context, shape.bitsAllocated);
  call('SetBitsStored', context, shape.bitsStored);
  call('SetSamplesPerPixel', context, shape.samplesPerPixel);
  call('SetPixelRepresentation', context, shape.isSigned ? 1 : 0);
  call('SetPlanarConfiguration', context, shape.isPlanar ? 1 : 0);
  call('SetPhotometricInterpretation', context, PHOTOMETRIC.indexOf(shape.photometricInterpretation));
  return context;
}

function taken(instance: Instance, context: number, buffer: 'Decoded' | 'Encoded'): CodecResult {
  const { call } = instance;
  const sizeBytes = call(`Get${buffer}BufferSize`, context);
  const bytes = Buffer.from(bytesAt(instance, call(`Get${buffer}Buffer`, context), sizeBytes)); // a copy
  const shape = {
    rows: call('GetRows', context),
    columns: call('GetColumns', context),
    bitsAllocated: call('GetBitsAllocated', context),
    bitsStored: call('GetBitsStored', context),
    samplesPerPixel: call('GetSamplesPerPixel', context),
    isSigned: call('GetPixelRepresentation', context) === 1,
    isPlanar: call('GetPlanarConfiguration', context) === 1,
    photometricInterpretation: PHOTOMETRIC[call('GetPhotometricInterpretation', context)] ?? '',
  };
  call('ReleaseCodecsContext', context);
  return { bytes, shape };
}

/** A view that is good until the memory grows. */
function bytesAt({ memory }: Instance, start: number, length: number): Buffer {
  return Buffer.from(memory.buffer, start, length);
}

function instantiate(): Instance {
  const file = fileURLToPath(import.meta.resolve('dcmjs-codecs/build/dcmjs-native-codecs.wasm'));
  compiled ??= new WebAssembly.Module(readFileSync(file));
  const fail = (message: string) => {
    throw new DicomError('malformed', message);
  };
  // Of the system interface the module uses nothing for its work: what it prints is dropped, and it has no environment.
  const done = () => 0;
  const { exports } = new WebAssembly.Instance(compiled, {
    env: {
      onCodecsException: () => fail('A codec refuses a frame.'),
      onCodecsInfo: done,
      onCodecsTrace: done,
      emscripten_notify_memory_growth: done,
    },
    wasi_snapshot_preview1: {
      proc_exit: () => fail('A codec gave up on a frame.'),
      clock_time_get: done,
      fd_write: done,
      fd_close: done,
      environ_sizes_get: done,
      environ_get: done,
      fd_seek: done,
    },
  });
  const { memory } = exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new DicomError('unsupported', 'The codecs are not as expected.');
  const call: Instance['call'] = (name, ...values) => {
    const method = exports[name];
    if (typeof method !== 'function') throw new DicomError('unsupported', `The codecs have no ${name}.`);
    return Number(method(...values) ?? 0);
  };
  if ('_initialize' in exports) call('_initialize');
  return { memory, call };
}
