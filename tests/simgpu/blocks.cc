// Runs a grid block after block, each thread of a block as a fiber. Warps and lanes take turns in
// an order drawn from the seed, so that a missing barrier shows. What real hardware would leave
// undefined ends the process with a message.
#include "fibers.h"
#include "runtime.h"
#include "simgpu_device.h"
#include "simgpu_half.h"
#include "simgpu_launch.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace simgpu
{
Place *self;
uint3 block_index;
dim3 block_size, grid_size;
void *dynamic_shared;

// A lane's share of a matrix product's operands.
struct Fragments {
    float sums[4];
    unsigned a[4], b[2];
};

enum State { FRESH, READY, AT_BLOCK, AT_WARP, AT_GRID, DONE };
static const char *const state_names[] = {"has not begun",
                                          "is ready",
                                          "is at a block barrier",
                                          "waits for its warp",
                                          "waits for the grid before",
                                          "has ended"};

struct Thread {
    Place place;
    Fiber *fiber;
    State state;
    bool awaited; // the grid before
    Site site;    // where it waits
    unsigned mask, source;
    uint64_t value, result;
    Fragments fragments;
};
// Masks of lanes, so that an operation of a warp does not look at all of them for each that comes.
struct Warp {
    unsigned lanes;    // that exist
    unsigned runnable; // FRESH or READY
    unsigned met;      // AT_WARP
    unsigned done;     // DONE
    // Of those that have met: the ones that came to the same place with the same mask as the first.
    unsigned alike, mask;
    Site site;
};

static std::mutex &sm = *new std::mutex; // the one multiprocessor: a block at a time
static Thread threads[1024];
static Warp warps[32];
static unsigned n_threads, n_warps, live, waiting;
static Site barrier;
static int joined[3], barrier_result[3];                       // by Join
static std::vector<Fiber *> &idle = *new std::vector<Fiber *>; // of blocks that are early, too
static bool downwards;                                         // the order of lanes in this turn
static const Launch *launch_now;
static Thread *thread_now;
static uint64_t grids;
static bool is_early; // this block has begun before the grid before has ended

// A grid on its way through its blocks; one that has begun early also has what its first block was
// when it was left.
struct Course {
    Random order{0};
    uint64_t at, step;
    void *shared = nullptr; // of the block that runs
    std::vector<Thread> threads;
    Warp warps[32];
    unsigned live, waiting;
    Site barrier;
    int joined[3], barrier_result[3];
};

static thread_local bool runs_kernel;

const char *running_thread()
{
    static char text[400];
    if (!runs_kernel || !launch_now)
        return "";
    const uint3 b = block_index;
    int at = snprintf(text, sizeof text, "kernel %.200s, block (%u,%u,%u)", launch_now->name, b.x,
                      b.y, b.z);
    if (thread_now) {
        const uint3 t = thread_now->place.thread;
        snprintf(text + at, sizeof text - static_cast<size_t>(at), ", thread (%u,%u,%u)", t.x, t.y,
                 t.z);
    }
    return text;
}

static Thread *lane_of(unsigned warp, unsigned lane)
{
    return &threads[warp * 32 + lane];
}

static void wake(Thread *t)
{
    t->state = READY;
    warps[t->place.warp].runnable |= 1u << t->place.lane;
}

static void suspend(Thread *t, State state)
{
    t->state = state;
    warps[t->place.warp].runnable &= ~(1u << t->place.lane);
    fiber_leave();
}

static bool same_text(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

static bool same_place(const Site &a, const Site &b)
{
    return a.line == b.line && same_text(a.what, b.what) && same_text(a.file, b.file);
}

static void open_barrier()
{
    // The next barrier cannot open before all have read this.
    memcpy(barrier_result, joined, sizeof joined);
    waiting = 0;
    for (unsigned i = 0; i < n_threads; i++)
        if (threads[i].state == AT_BLOCK)
            wake(&threads[i]);
}

int block_barrier(Site site, Join join, int predicate)
{
    Thread *t = thread_now;
    if (waiting == 0) {
        barrier = site;
        joined[JOIN_OR] = joined[JOIN_COUNT] = 0;
        joined[JOIN_AND] = 1;
    } else if (!same_place(barrier, site)) {
        die("%s: divergent barrier: %s at %s:%d, but other threads of the block wait at %s at "
            "%s:%d",
            running_thread(), site.what, site.file, site.line, barrier.what, barrier.file,
            barrier.line);
    }
    fiber_release(&barrier);
    joined[JOIN_OR] |= predicate != 0;
    joined[JOIN_AND] &= predicate != 0;
    joined[JOIN_COUNT] += predicate != 0;
    t->site = site;
    if (++waiting == live)
        open_barrier();
    else
        suspend(t, AT_BLOCK);
    fiber_acquire(&barrier);
    return barrier_result[join];
}

// Who of `mask` is here already. Ends the process if one waits elsewhere for this lane.
static unsigned lanes_here(const Warp &warp, Site site, unsigned mask)
{
    const Place &place = thread_now->place;
    const unsigned me = 1u << place.lane;
    unsigned here = warp.met & mask;
    if (!(here & ~warp.alike) && warp.mask == mask && same_place(warp.site, site))
        return here;
    for (unsigned l = 0; l < 32; l++) {
        const Thread *o = lane_of(place.warp, l);
        if (!(here >> l & 1) || (o->mask == mask && same_place(o->site, site)))
            continue;
        here &= ~(1u << l); // it may come later, unless it waits for this lane
        if (o->mask & me)
            die("%s: %s at %s:%d with mask %08x meets lane %u in %s at %s:%d with mask %08x",
                running_thread(), site.what, site.file, site.line, mask, l, o->site.what,
                o->site.file, o->site.line, o->mask);
    }
    return here;
}

static void wait_for_warp(Warp *warp, Thread *t)
{
    const unsigned me = 1u << t->place.lane;
    if (!warp->met) {
        warp->site = t->site;
        warp->mask = t->mask;
        warp->alike = me;
    } else if (warp->mask == t->mask && same_place(warp->site, t->site)) {
        warp->alike |= me;
    }
    warp->met |= me;
    suspend(t, AT_WARP);
}

// The lanes of `mask` meet; the last to come finishes: each lane's result is set by `finish`.
template <class F> static uint64_t warp_meet(Site site, unsigned mask, F finish)
{
    Thread *t = thread_now;
    const unsigned w = t->place.warp, me = 1u << t->place.lane;
    if (!(mask & me))
        die("%s: %s at %s:%d: wrong mask %08x: lane %u calls and is not in it", running_thread(),
            site.what, site.file, site.line, mask, t->place.lane);
    const unsigned gone = mask & (~warps[w].lanes | warps[w].done);
    if (gone)
        die("%s: %s at %s:%d: wrong mask %08x: lanes %08x of the warp %s", running_thread(),
            site.what, site.file, site.line, mask, gone,
            gone & warps[w].lanes ? "have ended" : "do not exist");
    t->site = site;
    t->mask = mask;
    const unsigned here = lanes_here(warps[w], site, mask);
    if ((here | me) != mask) {
        wait_for_warp(&warps[w], t);
        return t->result;
    }
    finish(w);
    warps[w].met &= ~here;
    warps[w].alike &= ~here;
    for (unsigned l = 0; l < 32; l++)
        if (here >> l & 1)
            wake(lane_of(w, l));
    return t->result;
}

uint64_t warp_exchange(Site site, unsigned mask, uint64_t value, unsigned source)
{
    Thread *t = thread_now;
    t->value = value;
    t->source = source;
    return warp_meet(site, mask, [=](unsigned w) {
        for (unsigned l = 0; l < 32; l++) {
            Thread *o = lane_of(w, l);
            if (!(mask >> l & 1))
                continue;
            if (o->source < 32 && !(mask >> o->source & 1))
                die("%s: %s at %s:%d: wrong mask %08x: lane %u reads from lane %u, which is not "
                    "in it",
                    running_thread(), site.what, site.file, site.line, mask, l, o->source);
            o->result = o->source < 32 ? lane_of(w, o->source)->value : o->value;
        }
    });
}

void warp_barrier(Site site, unsigned mask)
{
    // The only warp operation that orders memory.
    void *order = &warps[thread_now->place.warp];
    fiber_release(order);
    warp_meet(site, mask, [](unsigned) {});
    fiber_acquire(order);
}

unsigned warp_vote(Site site, unsigned mask, bool value)
{
    thread_now->value = value;
    return static_cast<unsigned>(warp_meet(site, mask, [=](unsigned w) {
        unsigned votes = 0;
        for (unsigned l = 0; l < 32; l++)
            if (mask >> l & 1 && lane_of(w, l)->value)
                votes |= 1u << l;
        for (unsigned l = 0; l < 32; l++)
            if (mask >> l & 1)
                lane_of(w, l)->result = votes;
    }));
}

// Element `half` (0 low, 1 high) of a register of two.
static double half_of(unsigned pair, unsigned half)
{
    return static_cast<double>(half_value(static_cast<unsigned short>(pair >> 16 * half)));
}

// As f32, what does not fit cut off: hardware does not round these sums.
static float cut(double x)
{
    const float f = static_cast<float>(x);
    const bool larger = std::fabs(static_cast<double>(f)) > std::fabs(x) && !std::isinf(x);
    return larger ? std::nextafterf(f, 0) : f;
}

// The PTX manual, "Matrix Fragments for mma.m16n8k16 with floating point type": of lane 4 g + t,
// register r of a has row g + 8 (r odd), columns 2 t + 8 (r > 1) and the next; of b rows
// 2 t + 8 r and the next, column g; of the sums row g + 8 (r > 1), column 2 t + (r odd).
static void multiply_fragments(unsigned w)
{
    double a[16][16], b[16][8];
    for (unsigned l = 0; l < 32; l++) {
        const Fragments &f = lane_of(w, l)->fragments;
        const unsigned g = l / 4, t = l % 4;
        for (unsigned i = 0; i < 8; i++)
            a[g + 8 * (i / 2 % 2)][2 * t + i % 2 + 8 * (i / 4)] = half_of(f.a[i / 2], i % 2);
        for (unsigned i = 0; i < 4; i++)
            b[2 * t + i % 2 + 8 * (i / 2)][g] = half_of(f.b[i / 2], i % 2);
    }
    for (unsigned l = 0; l < 32; l++) {
        float *sums = lane_of(w, l)->fragments.sums;
        for (unsigned r = 0; r < 4; r++) {
            const unsigned row = l / 4 + 8 * (r / 2), column = 2 * (l % 4) + r % 2;
            for (unsigned k = 0; k < 16; k += 8) {
                double sum = static_cast<double>(sums[r]);
                for (unsigned i = k; i < k + 8; i++)
                    sum += a[row][i] * b[i][column];
                sums[r] = cut(sum);
            }
        }
    }
}

void warp_product(Site site, float sums[4], const unsigned a[4], const unsigned b[2])
{
    Fragments *f = &thread_now->fragments;
    memcpy(f->sums, sums, sizeof f->sums);
    memcpy(f->a, a, sizeof f->a);
    memcpy(f->b, b, sizeof f->b);
    warp_meet(site, ~0u, multiply_fragments);
    memcpy(sums, f->sums, sizeof f->sums);
}

void trap(Site site)
{
    die("%s: %s at %s:%d", running_thread(), site.what, site.file, site.line);
}

unsigned active_lanes()
{
    const unsigned w = thread_now->place.warp;
    return warps[w].lanes & ~warps[w].done;
}

static void make_current(Thread *t)
{
    thread_now = t;
    self = &t->place;
}

void await_grid_before(Site site)
{
    Thread *t = thread_now;
    t->awaited = true;
    t->site = site;
    if (is_early) {
        fiber_release(&launch_now);
        suspend(t, AT_GRID);
        fiber_acquire(&launch_now);
    }
}

static void finish_thread(Thread *t)
{
    if (launch_now->may_begin_early && !t->awaited)
        die("%s: it was launched so that it may begin before the kernel before it has ended, and "
            "has itself ended without having waited for that: so what comes after it does not wait "
            "either; call sw::await_previous() first of all",
            running_thread());
    t->state = DONE;
    warps[t->place.warp].done |= 1u << t->place.lane;
    warps[t->place.warp].runnable &= ~(1u << t->place.lane);
    live--;
    if (live && waiting == live) // those that have ended count as arrived
        open_barrier();
}

// Runs threads one after the other: when one ends, its fiber goes on with the next of the warp that
// has not begun, so that threads without barriers cost no change of stack.
static void fiber_body()
{
    for (;;) {
        Thread *t = thread_now;
        Fiber *fiber = t->fiber;
        fiber_acquire(&launch_now);
        launch_now->thread();
        fiber_release(&launch_now);
        finish_thread(t);
        Thread *next = nullptr;
        for (unsigned i = 0; fiber_runs_several && i < 32 && !next; i++) {
            const unsigned l = downwards ? 31 - i : i;
            Thread *o = lane_of(t->place.warp, l);
            if (warps[t->place.warp].lanes >> l & 1 && o->state == FRESH)
                next = o;
        }
        if (next) {
            next->fiber = fiber;
            next->state = READY;
            make_current(next);
            continue;
        }
        idle.push_back(fiber);
        fiber_leave();
    }
}

static void turn(Thread *t)
{
    if (t->state == FRESH) {
        if (idle.empty()) {
            static size_t fibers;
            // Not when one is given back: fibers take no memory in turn, says the thread sanitizer.
            if (idle.capacity() < ++fibers)
                idle.reserve(2 * fibers);
            idle.push_back(fiber_create(fiber_body));
        }
        t->fiber = idle.back();
        idle.pop_back();
        t->state = READY;
    }
    make_current(t);
    fiber_enter(t->fiber);
    thread_now = nullptr;
}

[[noreturn]] static void deadlock()
{
    const Thread *at_block = nullptr, *at_warp = nullptr;
    for (unsigned i = 0; i < n_threads; i++) {
        if (threads[i].state == AT_BLOCK)
            at_block = &threads[i];
        if (threads[i].state == AT_WARP && !at_warp)
            at_warp = &threads[i];
    }
    const unsigned w = at_warp->place.warp, missing = at_warp->mask & ~warps[w].met;
    const unsigned absent = missing ? static_cast<unsigned>(__builtin_ctz(missing)) : 0;
    const Thread *other = missing ? lane_of(w, absent) : at_block;
    die("%s: deadlock: thread (%u,%u,%u) waits in %s at %s:%d with mask %08x; lane %u %s (%s "
        "at %s:%d); %u of %u threads wait at a block barrier",
        running_thread(), at_warp->place.thread.x, at_warp->place.thread.y, at_warp->place.thread.z,
        at_warp->site.what, at_warp->site.file, at_warp->site.line, at_warp->mask, absent,
        other ? state_names[other->state] : "?", other && other->site.what ? other->site.what : "",
        other && other->site.file ? other->site.file : "", other ? other->site.line : 0, waiting,
        live);
}

static void set_up_block()
{
    const dim3 b = block_size;
    live = n_threads;
    waiting = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        Thread *t = &threads[i];
        t->place = {{i % b.x, i / b.x % b.y, i / b.x / b.y}, i & 31, i >> 5};
        t->state = FRESH;
        t->awaited = false;
        t->site = {};
    }
    for (unsigned w = 0; w < n_warps; w++) {
        const unsigned lanes = std::min(32u, n_threads - w * 32);
        warps[w] = {};
        warps[w].lanes = warps[w].runnable = lanes == 32 ? ~0u : (1u << lanes) - 1;
    }
}

// To its end; that of one that is early, as far as it comes.
static void run_block(Random *random)
{
    unsigned turns[32], n_turns;
    while (live) {
        n_turns = 0;
        for (unsigned w = 0; w < n_warps; w++)
            if (warps[w].runnable)
                turns[n_turns++] = w;
        if (n_turns == 0 && is_early)
            return;
        if (n_turns == 0)
            deadlock();
        // Up to as many turns as there are warps, in any order; some get none, some several.
        for (unsigned n = n_turns; n > 0; n--) {
            const unsigned w = turns[random->below(n_turns)];
            downwards = random->next() >> 40 & 1;
            const unsigned runnable = warps[w].runnable;
            for (unsigned i = 0; i < 32; i++) {
                const unsigned l = downwards ? 31 - i : i;
                if (runnable >> l & 1 && warps[w].runnable >> l & 1)
                    turn(lane_of(w, l));
            }
        }
    }
}

static uint64_t blocks_of(const Launch &launch)
{
    return static_cast<uint64_t>(launch.grid.x) * launch.grid.y * launch.grid.z;
}

// Blocks in an order that depends on the seed: a start and a step without a common divisor.
static void set_out(const Launch &launch, Course *course)
{
    const uint64_t n = blocks_of(launch);
    course->order = Random(++grids);
    course->at = course->order.next() % n;
    course->step = course->order.next() % n + 1;
    while (std::gcd(course->step, n) != 1)
        course->step++;
}

static void enter_block(const Launch &launch, const Course &course)
{
    const dim3 g = launch.grid;
    const uint64_t at = course.at;
    launch_now = &launch;
    grid_size = g;
    block_size = launch.block;
    block_index = {static_cast<unsigned>(at % g.x), static_cast<unsigned>(at / g.x % g.y),
                   static_cast<unsigned>(at / g.x / g.y)};
    n_threads = block_size.x * block_size.y * block_size.z;
    n_warps = (n_threads + 31) / 32;
    dynamic_shared = course.shared;
    poison_static_shared(launch.kernel);
}

static void enter_new_block(const Launch &launch, Course *course)
{
    // A size of its own, so that a sanitizer sees reads and writes beyond it.
    course->shared = nullptr;
    if (launch.shared && posix_memalign(&course->shared, 256, launch.shared) != 0)
        die("no host memory for %zu bytes of shared memory", launch.shared);
    if (course->shared)
        memset(course->shared, 0xff, launch.shared); // NaN
    enter_block(launch, *course);
    set_up_block();
}

static void run_entered(Course *course)
{
    runs_kernel = true;
    fiber_release(&launch_now);
    run_block(&course->order);
    fiber_acquire(&launch_now);
    runs_kernel = false;
    launch_now = nullptr;
}

// The first block of a grid, until all of its threads wait for the grid before.
std::shared_ptr<Course> begin_grid(const Launch &launch)
{
    const std::lock_guard<std::mutex> one(sm);
    const auto c = std::make_shared<Course>();
    set_out(launch, c.get());
    enter_new_block(launch, c.get());
    is_early = true;
    run_entered(c.get());
    is_early = false;
    c->threads.assign(threads, threads + n_threads);
    std::copy(warps, warps + 32, c->warps);
    c->live = live;
    c->waiting = waiting;
    c->barrier = barrier;
    std::copy(joined, joined + 3, c->joined);
    std::copy(barrier_result, barrier_result + 3, c->barrier_result);
    return c;
}

// The block goes on. What it has written to static shared memory is lost.
static void enter_again(const Launch &launch, const Course &c)
{
    enter_block(launch, c);
    std::copy(c.threads.begin(), c.threads.end(), threads);
    std::copy(c.warps, c.warps + 32, warps);
    live = c.live;
    waiting = c.waiting;
    barrier = c.barrier;
    std::copy(c.joined, c.joined + 3, joined);
    std::copy(c.barrier_result, c.barrier_result + 3, barrier_result);
    for (unsigned i = 0; i < n_threads; i++)
        if (threads[i].state == AT_GRID)
            wake(&threads[i]);
}

void run_grid(const Launch &launch, Course *begun)
{
    const uint64_t n = blocks_of(launch);
    Course fresh, *course = begun ? begun : &fresh;
    for (uint64_t i = 0; i < n; i++) {
        // Kernels of other streams and devices may come between two blocks.
        const std::lock_guard<std::mutex> one(sm);
        if (i == 0 && !begun)
            set_out(launch, course);
        if (i == 0 && begun)
            enter_again(launch, *course);
        else
            enter_new_block(launch, course);
        run_entered(course);
        free(course->shared);
        course->at = (course->at + course->step) % n;
    }
}
} // namespace simgpu
