/** What a port of a workload does with a request, whoever sent it and however it came there. */
import type { Peer } from "../core/decide/admit.ts";
import { identityName } from "../core/model/identity.ts";
import { inboundStages } from "../core/pipeline.ts";
import type { Pod } from "../core/resource/pod.ts";
import { isDnsLabel, isDnsName } from "../core/std/dns-name.ts";
import { formatIp, parseIp } from "../core/std/ip.ts";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import { describeReport } from "../edge/files/source-snapshot.ts";
import { complaints } from "./conditions.ts";
import type { Explanation } from "./explanation.ts";
import { FateList } from "./fates.ts";
import { type Place, receivePlaces } from "./inbound.ts";
import { readRequest, type Words, withoutSecrets } from "./question.ts";
import type { World } from "./world.ts";

/** As a person typed them. */
export type InboundWords = Omit<Words, "from"> & {
  /** `NAMESPACE/POD:PORT`, or `NAMESPACE/SERVER` for the ports that the Server governs. */
  readonly at: string;
  /** Empty: nobody says, or `identity` does. */
  readonly from: string;
  readonly identity: string | undefined;
};

export function explainInbound(world: World, words: InboundWords): Result<Explanation> {
  const faults: Fault[] = [];
  const caller = readCaller(world, words, faults);
  const places = readPlaces(world, words.at, faults);
  const to = words.to ?? words.at.slice(words.at.indexOf("/") + 1);
  const read = readRequest({ ...words, to }, faults);
  if (faults.length > 0 || caller === undefined || read === undefined) return fail(...faults);
  const { request, headers, notes } = read;
  const fates = new FateList();
  const reception = receivePlaces(world, { backend: words.at, request, caller }, places);
  for (const { share, status, by, reason } of reception.answers) {
    fates.answer(share, status, { by, reason });
  }
  fates.reach(reception.onward, words.at);
  const { method, path, query } = request;
  const namespaces = new Set(places.flatMap(({ pod }) => pod?.meta.namespace ?? []));
  return ok({
    question: {
      from: words.from || (caller.identity ?? formatIp(caller.ip)),
      identity: caller.identity ?? "",
      ip: formatIp(caller.ip),
      to: words.at,
      method,
      path,
      query,
      headers: withoutSecrets(headers),
    },
    verdict: fates.verdict(),
    outbound: null,
    inbound: reception.views,
    conditions: complaints(world.statuses(), undefined, namespaces),
    refusedDocuments: world.reports
      .filter(({ severity }) => severity === "refused" || severity === "unserved")
      .map(describeReport),
    notes: [...notes, ...reception.notes],
  });
}

/** By account or by name with mutual TLS, or by address alone without. */
function readCaller(
  { store, settings }: World,
  { from, identity, ip: text }: InboundWords,
  faults: Fault[],
): Peer | undefined {
  const given = text === undefined ? undefined : parseIp(text);
  if (text !== undefined && given === undefined) {
    faults.push(fault("--ip", `write an IP address instead of ${JSON.stringify(text)}`));
  }
  const somewhere = settings.clusterNetworks[0]?.ip ?? { family: 4, bits: 0 };
  if (identity !== undefined) {
    if (from !== "") faults.push(fault("--identity", "leave out it or --from: both are given"));
    return { ip: given ?? somewhere, tls: true, identity };
  }
  if (from === "") {
    if (text === undefined) {
      faults.push(fault("--from", "say who asks: --from, --identity or, without mutual TLS, --ip"));
    }
    return given === undefined ? undefined : { ip: given, tls: false, identity: undefined };
  }
  const [namespace = "", serviceAccount = "", ...more] = from.split("/");
  if (more.length > 0 || !isDnsLabel(namespace) || !isDnsLabel(serviceAccount)) {
    const form = 'write NAMESPACE/SERVICEACCOUNT, such as "demo/frontend"';
    faults.push(fault("--from", `${form}, instead of ${JSON.stringify(from)}`));
    return undefined;
  }
  const pod = [...store.pods.values()].find(
    ({ meta, serviceAccountName }) =>
      meta.namespace === namespace && serviceAccountName === serviceAccount,
  );
  const own = pod?.ips.map(parseIp).find((one) => one !== undefined);
  const { controlNamespace, trustDomain } = settings;
  const name = identityName({ namespace, serviceAccount, controlNamespace, trustDomain });
  return { ip: given ?? own ?? somewhere, tls: true, identity: name };
}

function readPlaces(world: World, text: string, faults: Fault[]): readonly Place[] {
  const [, namespace = "", name = "", port] =
    /^([^/:]+)\/([^/:]+)(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  if (!isDnsLabel(namespace) || !isDnsName(name)) {
    const form = "write NAMESPACE/POD:PORT, or NAMESPACE/SERVER";
    faults.push(fault("--at", `${form}, instead of ${JSON.stringify(text)}`));
    return [];
  }
  const pods = [...world.store.pods.values()].filter(({ meta }) => meta.namespace === namespace);
  const places =
    port === undefined
      ? pods
          .flatMap((pod) => portsOf(pod).map((one) => placeOf(pod, one)))
          .filter((place) => isGovernedBy(world, place, name))
      : pods.filter(({ meta }) => meta.name === name).map((pod) => placeOf(pod, Number(port)));
  if (places.length === 0) {
    const missing =
      port === undefined ? "no port of a pod is governed by the Server" : "there is no pod";
    faults.push(fault("--at", `name another place: ${missing} ${namespace}/${name}`));
  }
  return places;
}

function portsOf({ containers }: Pod): readonly number[] {
  return [...new Set(containers.flatMap(({ ports }) => ports.map(({ port }) => port)))];
}

/** Whoever asks this way wants to know what the policy says, so the sidecar is taken to be there. */
function placeOf(pod: Pod, port: number): Place {
  return { pod, ip: pod.ips[0] ?? "", port, isMeshed: true };
}

function isGovernedBy({ store, settings }: World, { pod, port }: Place, server: string): boolean {
  if (pod === undefined) return false;
  const workload = { namespace: pod.meta.namespace, pod: pod.meta.name };
  const stages = inboundStages(store, settings, { workload, port });
  if ("unknown" in stages) return false;
  const { kind, name } = stages.policy.table.server;
  return kind === "server" && name === server;
}
