/* libnvidia-ml.so.1 of a machine that does not exist. "machine.h" is generated from its description (doubles.py).
   Compiled against NVIDIA's own nvml.h, so that a function with another signature than the real one does not build. */
#include <nvml.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct failure { const char *function; int code; };
struct link { int active, peer_type, version, speed; const char *peer; };
struct process { unsigned pid; unsigned long long bytes; unsigned gpu_instance; };

/* A GPU, or a MIG device, whose parent is then set. A slot that is free has no UUID. */
struct nvmlDevice_st {
    int index, parent;
    const char *name, *uuid, *bus;
    unsigned long long total, used, reserved;
    unsigned long long cpus[2], socket[2], nodes;
    unsigned pcie_max, pcie_now, width_max, width;
    int own_node, can_mig, mig_mode;
    unsigned gpu_instance, compute_instance, slices, compute_slices;
    unsigned long long mig_mib;
    unsigned busy, memory_busy, milliwatts, limit, celsius;
    unsigned long long clocks;
    int link_count;
    struct link links[18];
    int process_count;
    struct process processes[4];
    int failure_count;
    struct failure failures[8];
};

#include "machine.h"

static int opened;

static nvmlReturn_t may(const char *function, nvmlDevice_t device) {
    if (!opened) return NVML_ERROR_UNINITIALIZED;
    if (!device) return NVML_SUCCESS;
    for (int i = 0; i < device->failure_count; i++) {
        if (strcmp(device->failures[i].function, function) && strcmp(device->failures[i].function, "*")) continue;
        while (device->failures[i].code < 0) pause();
        return device->failures[i].code;
    }
    return NVML_SUCCESS;
}

#define CHECK(device) do { nvmlReturn_t bad = may(__func__, device); if (bad) return bad; } while (0)
#define UNLESS(good) do { if (!(good)) return NVML_ERROR_NOT_SUPPORTED; } while (0)

static nvmlReturn_t say(char *out, unsigned room, const char *text) {
    if (strlen(text) >= room) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

static void mask(unsigned long size, unsigned long *out, const unsigned long long *first, unsigned words) {
    for (unsigned long i = 0; i < size; i++) out[i] = i < words ? first[i] : 0;
}

static void locate(nvmlPciInfo_t *info, const char *bus) {
    memset(info, 0, sizeof *info);
    snprintf(info->busId, sizeof info->busId, "%s", bus);
    snprintf(info->busIdLegacy, sizeof info->busIdLegacy, "%s", bus + 4);
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (INIT_ERROR) return INIT_ERROR;
    opened++;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlShutdown(void) {
    CHECK(NULL);
    opened--;
    return NVML_SUCCESS;
}
const char *nvmlErrorString(nvmlReturn_t code) {
    return code == NVML_ERROR_GPU_NOT_FOUND ? "GPU not found" : "an error of the double";
}
nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned room) {
    CHECK(NULL);
    return say(out, room, DRIVER_VERSION);
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char *out, unsigned room) {
    CHECK(NULL);
    return say(out, room, "13." DRIVER_VERSION);
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    CHECK(NULL);
    *count = GPU_COUNT;
    return COUNT_ERROR;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    if (index + 1 > GPU_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    CHECK(&gpus[index]);
    *device = &gpus[index];
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *out, unsigned room) {
    CHECK(device);
    return say(out, room, device->name);
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *out, unsigned room) {
    CHECK(device);
    return say(out, room, device->uuid);
}
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *info) {
    CHECK(device);
    locate(info, device->bus);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    CHECK(device);
    memory->total = device->total;
    memory->used = device->used + device->reserved;
    memory->free = device->total - memory->used;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    CHECK(device);
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = device->total;
    memory->used = device->used;
    memory->reserved = device->reserved;
    memory->free = device->total - device->used - device->reserved;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->pcie_max;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->pcie_now;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->width_max;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->width;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned *node) {
    CHECK(device);
    UNLESS(device->own_node >= 0);
    *node = device->own_node;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryAffinity(
    nvmlDevice_t device, unsigned size, unsigned long *nodes, nvmlAffinityScope_t scope) {
    CHECK(device);
    (void)scope;
    unsigned long long first[1] = {device->nodes};
    mask(size, nodes, first, 1);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(
    nvmlDevice_t device, unsigned size, unsigned long *cpus, nvmlAffinityScope_t scope) {
    CHECK(device);
    mask(size, cpus, scope == NVML_AFFINITY_SCOPE_SOCKET ? device->socket : device->cpus, 2);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, nvmlGpuTopologyLevel_t *level) {
    CHECK(a);
    CHECK(b);
    *level = levels[a->index][b->index];
    return NVML_SUCCESS;
}

#define CHECK_LINK(device, link) do { \
    CHECK(device); \
    if ((link) >= NVML_NVLINK_MAX_LINKS) return NVML_ERROR_INVALID_ARGUMENT; \
    UNLESS((int)(link) < (device)->link_count); } while (0)

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, nvmlEnableState_t *state) {
    CHECK_LINK(device, link);
    *state = device->links[link].active ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned link, unsigned *version) {
    CHECK_LINK(device, link);
    *version = device->links[link].version;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link, nvmlIntNvLinkDeviceType_t *type) {
    CHECK_LINK(device, link);
    *type = device->links[link].peer_type;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned link, nvmlPciInfo_t *info) {
    CHECK_LINK(device, link);
    locate(info, device->links[link].peer);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    CHECK(device);
    for (int i = 0; i < count; i++) {
        int known = values[i].fieldId == NVML_FI_DEV_NVLINK_GET_SPEED && (int)values[i].scopeId < device->link_count;
        values[i].nvmlReturn = known && device->links[values[i].scopeId].speed ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        values[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        if (values[i].nvmlReturn == NVML_SUCCESS) values[i].value.uiVal = device->links[values[i].scopeId].speed;
    }
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    CHECK(device);
    UNLESS(device->can_mig);
    *current = *pending = device->mig_mode;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count) {
    CHECK(device);
    *count = device->mig_mode ? MIG_SLOTS : 0;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *mig) {
    CHECK(device);
    if (index >= MIG_SLOTS) return NVML_ERROR_INVALID_ARGUMENT;
    if (!migs[device->index][index].uuid) return NVML_ERROR_NOT_FOUND;
    *mig = &migs[device->index][index];
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *id) {
    CHECK(device);
    UNLESS(device->parent >= 0);
    *id = device->gpu_instance;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *id) {
    CHECK(device);
    UNLESS(device->parent >= 0);
    *id = device->compute_instance;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    CHECK(device);
    UNLESS(device->parent >= 0);
    memset(attributes, 0, sizeof *attributes);
    attributes->gpuInstanceSliceCount = device->slices;
    attributes->computeInstanceSliceCount = device->compute_slices;
    attributes->memorySizeMB = device->mig_mib;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    CHECK(device);
    UNLESS(!device->mig_mode);
    rates->gpu = device->busy;
    rates->memory = device->memory_busy;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->milliwatts;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *out) {
    CHECK(device);
    *out = device->limit;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned *out) {
    CHECK(device);
    (void)sensor;
    *out = device->celsius;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *out) {
    CHECK(device);
    *out = device->clocks;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *out) {
    CHECK(device);
    *out = device->clocks;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *out) {
    CHECK(device);
    unsigned room = *count;
    *count = device->process_count;
    if (room < *count) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < *count; i++) {
        out[i].pid = device->processes[i].pid;
        out[i].usedGpuMemory = device->processes[i].bytes;
        out[i].gpuInstanceId = device->processes[i].gpu_instance;
        out[i].computeInstanceId = device->processes[i].gpu_instance;
    }
    return NVML_SUCCESS;
}
