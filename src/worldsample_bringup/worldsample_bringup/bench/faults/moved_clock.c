/* A wall clock that a test may set, for processes that are started with this library in LD_PRELOAD.

   MOVED_CLOCK names a file with an int64, ns, by which CLOCK_REALTIME is off. The machine's own clock stays as
   it is; so deadlines of the moved clock are turned into its own before the C library waits for them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define A_WALL_CLOCK 1000000000LL /* s; monotonic clocks, since boot, are below it */

static volatile int64_t none = 0;
static volatile int64_t *off = &none;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("MOVED_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *place = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED) off = place;
}

static struct timespec shifted(const struct timespec *time, int64_t by) {
    int64_t ns = time->tv_sec * SECOND + time->tv_nsec + by;
    struct timespec result = {ns / SECOND, ns % SECOND};
    return result;
}

static struct timespec deadline(const struct timespec *time) {
    return time->tv_sec > A_WALL_CLOCK ? shifted(time, -*off) : *time;
}

#define NEXT(name, found) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))(found)

int clock_gettime(clockid_t clock, struct timespec *time) {
    NEXT(clock_gettime, dlsym(RTLD_NEXT, "clock_gettime"));
    int code = next(clock, time);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *time = shifted(time, *off);
    return code;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int code = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return code;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    NEXT(pthread_cond_timedwait, dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"));
    struct timespec real = deadline(until);
    return next(condition, mutex, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    NEXT(pthread_mutex_timedlock, dlsym(RTLD_NEXT, "pthread_mutex_timedlock"));
    struct timespec real = deadline(until);
    return next(mutex, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    NEXT(sem_timedwait, dlsym(RTLD_NEXT, "sem_timedwait"));
    struct timespec real = deadline(until);
    return next(semaphore, &real);
}
