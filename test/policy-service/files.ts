/** Manifests of a small world: pod web-1 and the Services a and b of namespace demo. */
export const mesh = `apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo, labels: { app: web, linkerd.io/control-plane-ns: weft } }
spec: { serviceAccountName: web, containers: [{ name: app, ports: [{ name: http, containerPort: 8080 }] }] }
status: { podIP: 10.1.0.1, podIPs: [{ ip: 10.1.0.1 }] }
---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: demo }
spec: { clusterIP: 10.96.0.1, ports: [{ name: http, port: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: b, namespace: demo }
spec: { clusterIP: 10.96.0.2, ports: [{ name: http, port: 8080 }] }
`;

export const slice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: a-1, namespace: demo, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.1.0.1], targetRef: { kind: Pod, name: web-1, namespace: demo } }]
`;

/** A route of Service a whose one rule answers by a redirect to `host`. */
export function redirectRoute(host: string): string {
  return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: a }]
  rules:
    - filters: [{ type: RequestRedirect, requestRedirect: { hostname: ${host} } }]
`;
}

export const openServer = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: demo }
spec: { podSelector: { matchLabels: { app: web } }, port: http, accessPolicy: all-unauthenticated }
`;
