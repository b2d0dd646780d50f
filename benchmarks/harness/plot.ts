/** Horizontal bars with the median, and a line from the least to the most, as SVG. */
import { metricTitles } from "./benchmark.ts";
import type { ScenarioResult } from "./rounds.ts";
import { short } from "./statistics.ts";

const width = 860;
const labelWidth = 170;
const barWidth = 520;
const rowHeight = 20;
const titleHeight = 34;
const palette = ["#2563eb", "#60a5fa", "#64748b", "#94a3b8", "#a3a3a3", "#cbd5e1"];

export function drawPlot(
  title: string,
  results: readonly ScenarioResult[],
  metrics: readonly string[],
): string {
  const parts: string[] = [];
  let y = titleHeight;
  for (const result of results) {
    for (const metric of metrics) {
      if (result.contenders.every(({ metrics: found }) => found[metric] === undefined)) continue;
      const panel = drawPanel(result, metric, y);
      parts.push(panel.text);
      y += panel.height;
    }
  }
  const font = 'font-family="system-ui, sans-serif" font-size="12"';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" ${font}>
<title>${escapeXml(title)}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="10" y="22" font-size="15" font-weight="bold">${escapeXml(title)}</text>
${parts.join("\n")}
</svg>
`;
}

function drawPanel(
  { scenario, contenders }: ScenarioResult,
  metric: string,
  top: number,
): { readonly text: string; readonly height: number } {
  const shown = contenders.flatMap(({ name, metrics }) => {
    const summary = metrics[metric];
    return summary === undefined ? [] : [{ name, summary }];
  });
  // One wild round must not flatten all bars.
  const most = Math.max(...shown.map(({ summary }) => Math.min(summary.max, summary.median * 2)));
  const x = (value: number): string =>
    (labelWidth + (Math.min(Math.max(value, 0), most) / most) * barWidth).toFixed(1);
  const heading = `${scenario}: ${metricTitles.get(metric) ?? metric}`;
  const rows = shown.map(({ name, summary: { median, min, max } }, at) => {
    const y = top + 26 + at * rowHeight;
    const length = Number(x(median)) - labelWidth;
    return `<text x="${labelWidth - 8}" y="${y + 11}" text-anchor="end">${escapeXml(name)}</text>
<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="14" fill="${palette[at % palette.length]}"/>
<path d="M${x(min)} ${y + 7}H${x(max)}" stroke="#111827"/>
<text x="${labelWidth + barWidth + 10}" y="${y + 11}">${short(median)} (${short(min)}–${short(max)})</text>`;
  });
  const text = `<text x="10" y="${top + 16}" font-weight="bold">${escapeXml(heading)}</text>\n${rows.join("\n")}`;
  return { text, height: 26 + shown.length * rowHeight + 12 };
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
