/* Registers the node at UPSTREAM_NODE as device RPC0 before main begins, for a program that has no flag for that.
   Lines leave as they are written, so that the last one before an abort is not lost. */

#include <stdio.h>
#include <stdlib.h>

void *ggml_backend_rpc_add_server(const char *endpoint);
void ggml_backend_register(void *registry);

__attribute__((constructor)) static void add_node(void) {
    const char *endpoint = getenv("UPSTREAM_NODE");
    void *node = endpoint ? ggml_backend_rpc_add_server(endpoint) : NULL;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (!node) {
        fprintf(stderr, "no device at UPSTREAM_NODE=%s\n", endpoint ? endpoint : "");
        exit(3);
    }
    ggml_backend_register(node);
}
