{{/* A rule of a NetworkPolicy: takes (dict "direction" "to" "peers" list "port" 443). */}}
{{- define "streamsync.rule" -}}
- ports:
    - protocol: TCP
      port: {{ int64 .port }}
  {{- with .peers }}
  {{ $.direction }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
