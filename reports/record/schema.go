package record

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of the record, for those who read one
// without Go. It is generated from the types of this package: `go generate` writes
// it again, and a test fails until that is done.
//
//go:embed schema.json
var Schema string

//go:generate go test -run TestSchemaIsThatOfTheTypes -update
