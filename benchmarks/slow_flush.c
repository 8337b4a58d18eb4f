/* Every flush takes SLOW_FLUSH_MS milliseconds and reaches no disk; how many there were is written at the end.
 *
 * A disk's flush drifts thirtyfold with what its neighbours do, so durable benchmarks run on a tmpfs with this library
 * preloaded: `cc -shared -fPIC -O2 -o slow_flush.so slow_flush.c -ldl`, LD_PRELOAD=./slow_flush.so.
 * SLOW_FLUSH_COUNT names the file that gets the number of flushes when the process ends.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_long flushes;

static int flush(void) {
    const char *said = getenv("SLOW_FLUSH_MS");
    double ms = said ? atof(said) : 1.0;
    struct timespec left = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    atomic_fetch_add(&flushes, 1);
    if (ms > 0)
        while (nanosleep(&left, &left) != 0) {}
    return 0;
}

int fsync(int fd) { (void)fd; return flush(); }
int fdatasync(int fd) { (void)fd; return flush(); }
int sync_file_range(int fd, long offset, long bytes, unsigned flags) {
    (void)fd; (void)offset; (void)bytes; (void)flags;
    return flush();
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("SLOW_FLUSH_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", atomic_load(&flushes));
        fclose(file);
    }
}
