// Settings from the environment; README.md lists them.
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace simgpu
{
static const char *variable(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

// "24G", "512M", "65536"
static size_t bytes_of(const char *name, const char *otherwise)
{
    const char *text = variable(name, otherwise);
    char *end;
    const double value = strtod(text, &end);
    const char *units = "KMGT", *unit = *end ? strchr(units, *end) : nullptr;
    if (end == text || value < 0 || (*end && !unit))
        die("%s=%s is not a size; write it as 65536, 512M or 24G", name, text);
    double bytes = value;
    for (const char *u = units; unit && u <= unit; u++)
        bytes *= 1024;
    return static_cast<size_t>(bytes);
}

static int number_of(const char *name, const char *otherwise, int low, int high)
{
    const char *text = variable(name, otherwise);
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || value < low || value > high)
        die("%s=%s is not a number from %d to %d", name, text, low, high);
    return static_cast<int>(value);
}

// As the driver reads it: a number that is no device ends the list.
static std::vector<int> visible_devices(int n)
{
    std::vector<int> out;
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) {
        for (int i = 0; i < n; i++)
            out.push_back(i);
        return out;
    }
    while (*list) {
        char *end;
        const long device = strtol(list, &end, 10);
        if (end == list || device < 0 || device >= n)
            break;
        out.push_back(static_cast<int>(device));
        if (*end != ',')
            break;
        list = end + 1;
    }
    return out;
}

static Settings read_settings()
{
    Settings s = {};
    s.devices = number_of("SIMGPU_DEVICES", "1", 0, max_devices);
    s.memory = bytes_of("SIMGPU_MEMORY", "1G");
    s.page = bytes_of("SIMGPU_PAGE", "2M");
    if (s.page < 512)
        die("SIMGPU_PAGE: a page has 512 bytes or more");
    s.context = bytes_of("SIMGPU_CONTEXT", "0");
    s.arch = number_of("SIMGPU_ARCH", "80", 50, 999);
    s.driver = number_of("SIMGPU_DRIVER", "13000", 0, 99999);
    s.seed = strtoull(variable("SIMGPU_SEED", "1"), nullptr, 10);
    s.loaded = number_of("SIMGPU_LOADED", "0", 0, 1);
    s.hasty = number_of("SIMGPU_HASTY", "0", 0, 1);
    s.alike = number_of("SIMGPU_ALIKE", "1", 0, 1);
    s.strict = number_of("SIMGPU_STRICT", "1", 0, 1);
    s.state = variable("SIMGPU_STATE", "");
    s.report = variable("SIMGPU_REPORT", "");
    const char *delay = variable("SIMGPU_DELAY", "200/8");
    if (sscanf(delay, "%u/%u", &s.delay, &s.odds) != 2 || s.odds == 0)
        die("SIMGPU_DELAY=%s is not MICROSECONDS/ODDS, as 200/8 for up to 200 µs before one "
            "operation in 8",
            delay);
    s.visible = visible_devices(s.devices);
    return s;
}

const Settings &settings()
{
    static const Settings &s = *new Settings(read_settings());
    return s;
}

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
uint64_t Random::next()
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

Random::Random(uint64_t what) : state(settings().seed * 0x9e3779b97f4a7c15u ^ what)
{
    state = next();
}

unsigned Random::below(unsigned n)
{
    return static_cast<unsigned>((next() >> 32) * n >> 32);
}
} // namespace simgpu
