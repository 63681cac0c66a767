package httpapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of the interface (OpenAPI 3.1), as JSON.
var OpenAPI = sync.OnceValue(func() json.RawMessage {
	var doc any
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		panic(fmt.Sprintf("openapi.yaml: %v", err)) // the file is embedded, and a test reads it
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("openapi.yaml: %v", err))
	}
	return text
})

func (a *API) openapi(*request) (int, any, error) { return http.StatusOK, OpenAPI(), nil }
