// Prints every public name of gorilla/websocket, one a line, as `go doc` knows them.
package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"sort"
	"strings"
)

var names []string

func add(name string) {
	for _, part := range strings.Split(name, ".") {
		if !ast.IsExported(part) {
			return
		}
	}
	names = append(names, name)
}

func values(values []*doc.Value) {
	for _, value := range values {
		for _, name := range value.Names {
			add(name)
		}
	}
}

func funcs(prefix string, funcs []*doc.Func) {
	for _, function := range funcs {
		add(prefix + function.Name)
	}
}

func fields(of string, fields *ast.FieldList) {
	for _, field := range fields.List {
		for _, name := range field.Names {
			add(of + "." + name.Name)
		}
	}
}

func main() {
	isTest := func(info os.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), os.Args[1], isTest, 0)
	if err != nil {
		panic(err)
	}
	docs := doc.New(packages["websocket"], "github.com/gorilla/websocket", 0)
	values(docs.Consts)
	values(docs.Vars)
	funcs("", docs.Funcs)
	for _, t := range docs.Types {
		add(t.Name)
		values(t.Consts)
		values(t.Vars)
		funcs("", t.Funcs)
		funcs(t.Name+".", t.Methods)
		for _, spec := range t.Decl.Specs {
			switch declared := spec.(*ast.TypeSpec).Type.(type) {
			case *ast.StructType:
				fields(t.Name, declared.Fields)
			case *ast.InterfaceType:
				fields(t.Name, declared.Methods)
			}
		}
	}
	sort.Strings(names)
	fmt.Println(strings.Join(names, "\n"))
}
