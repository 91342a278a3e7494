{{- define "streamsync.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "streamsync.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "streamsync.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "streamsync.name" .) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* What is the same for all pods of a release, and never changes. */}}
{{- define "streamsync.selector" -}}
app.kubernetes.io/name: {{ include "streamsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Takes (dict "root" $ "role" "router"). */}}
{{- define "streamsync.roleSelector" -}}
{{ include "streamsync.selector" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "streamsync.labels" -}}
{{ include "streamsync.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Takes (dict "root" $ "role" "router"). */}}
{{- define "streamsync.roleLabels" -}}
{{ include "streamsync.labels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{/* Takes (dict "root" $ "role" "router"). */}}
{{- define "streamsync.image" -}}
{{ printf "%s-%s:%s" (required "image.repository says where the images are: README.md says how they are made" .root.Values.image.repository) .role (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
