{{/* Parts of pods that all roles share. Each takes (dict "root" $ "role" "router"). */}}

{{- define "streamsync.podMetadata" -}}
labels:
  {{- include "streamsync.roleLabels" . | nindent 2 }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
  {{- with (index .root.Values .role).podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "streamsync.podSpec" -}}
{{- $values := index .root.Values .role -}}
serviceAccountName: {{ include "streamsync.fullname" .root }}-{{ .role }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "streamsync.roleSelector" $ | nindent 8 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "streamsync.container" -}}
image: {{ include "streamsync.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "streamsync.env" -}}
{{- $secrets := .root.Values.secrets -}}
envFrom:
  - configMapRef:
      name: {{ include "streamsync.fullname" .root }}
env:
  {{- if ne .role "ingest" }}
  - name: STREAMSYNC_REDIS__URL
    valueFrom:
      secretKeyRef:
        name: {{ $secrets.redis.name }}
        key: {{ $secrets.redis.key }}
  {{- end }}
  {{- with $secrets.bucket.name }}
  - name: STREAMSYNC_BUCKET__ACCESS_KEY_ID
    valueFrom:
      secretKeyRef:
        name: {{ . }}
        key: access-key-id
  - name: STREAMSYNC_BUCKET__SECRET_ACCESS_KEY
    valueFrom:
      secretKeyRef:
        name: {{ . }}
        key: secret-access-key
  {{- end }}
{{- end }}

{{/* A process that hangs is restarted; one that is not ready is asked nothing. */}}
{{- define "streamsync.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
