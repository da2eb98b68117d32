/**
 * Metrics by OpenTelemetry, read in Prometheus text format at `/metrics` of the process's own server: no second port to open
 * in a hospital's firewall. Labels are routes, states and codes of ours; never an identifier of a patient.
 */
import type { Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

export type Metrics = {
  readonly meter: Meter;
  /** The current values, Prometheus text format 0.0.4. */
  text(): Promise<string>;
  close(): Promise<void>;
};

export function createMetrics(serviceName: string): Metrics {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({ readers: [reader] });
  const serializer = new PrometheusSerializer();
  return {
    meter: provider.getMeter(serviceName),
    text: async () => serializer.serialize((await reader.collect()).resourceMetrics),
    close: () => provider.shutdown(),
  };
}
