// uWebSockets as its own echo example sets it up: 16 MiB payloads, corked by the library. With the argument `shared` or
// `dedicated` messages are compressed, without or with context.
//
// The library is the one in PyPI's socketify, which has a C interface and runs on libuv. What is declared here is what
// that interface is made of; nothing else of it is needed.
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct us_socket_context_options_t { const char *files[6]; int prefer_low_memory; };
struct listen_config { int port; const char *host; int options; };

struct behavior {
  int compression;
  unsigned int max_payload;
  unsigned short idle_timeout;
  unsigned int max_backpressure;
  bool close_on_backpressure, reset_idle_timeout_on_send, send_pings;
  unsigned short max_lifetime;
  void (*upgrade)(void *, void *, void *, void *);
  void (*open)(void *, void *);
  void (*message)(void *, const char *, size_t, int, void *);
  void (*drain)(void *, void *);
  void (*ping)(void *, const char *, size_t, void *);
  void (*pong)(void *, const char *, size_t, void *);
  void (*close)(void *, int, const char *, size_t, void *);
  void (*subscription)(void *, const char *, size_t, int, int, void *);
};

void *uws_create_app(int ssl, struct us_socket_context_options_t options);
void uws_ws(int ssl, void *app, const char *pattern, struct behavior behavior, void *data);
int uws_ws_send_with_options(int ssl, void *ws, const char *message, size_t length, int opcode, bool compress, bool fin);
typedef void on_listen(void *socket, struct listen_config config, void *data);
void uws_app_listen_with_config(int ssl, void *app, struct listen_config config, on_listen *handler, void *data);
void uws_app_run(int ssl, void *app);
int us_socket_local_port(int ssl, void *socket);

enum { SHARED = 1 | 1 << 8, DEDICATED = 15 << 4 | 8 | 15 << 8 };
static int compression = 0;

static void echo(void *ws, const char *message, size_t length, int opcode, void *data) {
  (void)data;
  uws_ws_send_with_options(0, ws, message, length, opcode, compression != 0, true);
}

static void listening(void *socket, struct listen_config config, void *data) {
  (void)config, (void)data;
  if (socket) printf("listening on http://127.0.0.1:%d/\n", us_socket_local_port(0, socket));
  fflush(stdout);
}

int main(int n_args, char **args) {
  if (n_args > 1) compression = strcmp(args[1], "shared") == 0 ? SHARED : DEDICATED;
  struct us_socket_context_options_t options;
  memset(&options, 0, sizeof options);
  struct behavior behavior;
  memset(&behavior, 0, sizeof behavior);
  behavior.compression = compression;
  behavior.max_payload = 16 << 20;
  behavior.idle_timeout = 120;
  behavior.max_backpressure = 16 << 20;
  behavior.send_pings = true;
  behavior.message = echo;
  void *app = uws_create_app(0, options);
  uws_ws(0, app, "/*", behavior, NULL);
  uws_app_listen_with_config(0, app, (struct listen_config){0, "127.0.0.1", 0}, listening, NULL);
  uws_app_run(0, app);
  return 1;
}
