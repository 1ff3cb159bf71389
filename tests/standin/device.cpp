// A strict accelerator on host memory, in place of a GPU: PyTorch's PrivateUse1 device.
//
// Its memory is the host's under another device type, and every kernel runs on the CPU. What CUDA
// refuses is refused here (a CPU tensor among device tensors), autocast follows CUDA's lists, and
// operations, copies and waits for the device are counted. The exported functions at the end are
// called through ctypes, so that neither Python's headers nor pybind11 are compiled: they would
// take most of the time.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/ScopeExit.h>
#include <torch/library.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <sstream>

namespace {

using at::Tensor;
constexpr auto kDevice = c10::DeviceType::PrivateUse1;

std::mutex mutex;
std::map<std::string, long> counted;
std::map<const char*, size_t> pinned;  // base address and length of every pinned block
std::atomic<long> allocated{0}, peak{0}, limit{0}, failing{0};

thread_local bool emulating = false;  // a kernel's arguments are on their way to the CPU and back

void count(const std::string& event) {
  if (emulating) return;
  std::lock_guard<std::mutex> guard(mutex);
  counted[event]++;
}

bool on_device(const Tensor& tensor) { return tensor.device().type() == kDevice; }

// ---- memory -------------------------------------------------------------------------------------

struct Block {
  void* data;
  size_t bytes;
};

struct DeviceMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (limit > 0 && allocated + static_cast<long>(bytes) > limit) {
      TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ", bytes,
                       " bytes (stand-in)");
    }
    void* data = bytes ? c10::alloc_cpu(bytes) : nullptr;
    long now = allocated += bytes;
    long highest = peak;
    while (now > highest && !peak.compare_exchange_weak(highest, now)) {
    }
    return {data, new Block{data, bytes}, &release, c10::Device(kDevice, 0)};
  }
  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    allocated -= block->bytes;
    if (block->data) c10::free_cpu(block->data);
    delete block;
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

DeviceMemory device_memory;
REGISTER_ALLOCATOR(kDevice, &device_memory);

struct PinnedMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = c10::alloc_cpu(std::max<size_t>(bytes, 1));
    std::lock_guard<std::mutex> guard(mutex);
    pinned[static_cast<const char*>(data)] = bytes;
    counted["pin"]++;
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  static void release(void* data) {
    {
      std::lock_guard<std::mutex> guard(mutex);
      pinned.erase(static_cast<const char*>(data));
    }
    c10::free_cpu(data);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

PinnedMemory pinned_memory;

bool is_pinned(const void* address) {
  std::lock_guard<std::mutex> guard(mutex);
  auto next = pinned.upper_bound(static_cast<const char*>(address));
  if (next == pinned.begin()) return false;
  --next;
  return static_cast<const char*>(address) < next->first + std::max<size_t>(next->second, 1);
}

// ---- the device as PyTorch asks after it --------------------------------------------------------

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
  bool isPinnedPtr(const void* address) const override { return is_pinned(address); }
  at::Device getDeviceFromPtr(void*) const override { return at::Device(kDevice, 0); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static auto generator = at::make_generator<at::CPUGeneratorImpl>(0);
    return generator;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<at::CPUGeneratorImpl>(0);
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    at::DataPtr data = device_memory.allocate(bytes);
    if (storage.nbytes()) std::memcpy(data.get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr(std::move(data));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

Hooks hooks;

// One device, one stream: everything that is enqueued is done when the call returns.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<kDevice> {
  static c10::Stream stream() {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kDevice, 0));
  }
  c10::Device exchangeDevice(c10::Device) const override { return c10::Device(kDevice, 0); }
  c10::Device getDevice() const override { return c10::Device(kDevice, 0); }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {
    static char recorded;
    *event = &recorded;
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// ---- kernels that can't go through the CPU's ----------------------------------------------------

// The same memory as a tensor of the CPU.
Tensor as_cpu(const Tensor& tensor) {
  auto storage = tensor.storage();
  auto n = static_cast<int64_t>(storage.nbytes() / tensor.element_size());
  auto whole = at::from_blob(storage.mutable_data(), {n}, tensor.options().device(at::kCPU));
  return whole.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

Tensor here(const Tensor& tensor) { return on_device(tensor) ? as_cpu(tensor) : tensor; }

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &device_memory,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &device_memory,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  if (on_device(from) && on_device(to)) {
    count("copy within the device");
  } else if (on_device(from) && non_blocking && is_pinned(to.storage().data())) {
    count("copy to the host");
  } else if (on_device(from)) {
    count("wait: copy to the host");
  } else if (!non_blocking && from.dim() > 0) {
    count("wait: blocking copy to the device");
  } else if (from.dim() > 0 && !is_pinned(from.storage().data())) {
    count("wait: copy of pageable memory to the device");
  } else {
    count("copy to the device");
  }
  here(to).copy_(here(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  here(to).copy_(here(from));
  return to;
}

c10::Scalar local_scalar(const Tensor& tensor) {
  count("wait: item");
  return as_cpu(tensor).item();
}

Tensor as_strided(const Tensor& self, at::IntArrayRef size, at::IntArrayRef stride,
                  std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

Tensor view(const Tensor& self, c10::SymIntArrayRef size) {
  return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size));
}

const Tensor& resize(const Tensor& self, c10::SymIntArrayRef size,
                     std::optional<at::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor& set_storage(Tensor& self, at::Storage storage, int64_t offset, at::IntArrayRef size,
                    at::IntArrayRef stride) {
  return at::native::set_storage_cpu_(self, std::move(storage), offset, size, stride);
}

Tensor& set_whole_storage(Tensor& self, at::Storage storage) {
  auto n = static_cast<int64_t>(storage.nbytes() / self.element_size());
  return at::native::set_storage_cpu_(self, std::move(storage), 0, {n}, {});
}

Tensor& set_tensor(Tensor& self, const Tensor& source) {
  return at::native::set_tensor_(self, source);
}

Tensor reshape_alias(const Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size),
                                    C10_AS_INTARRAYREF_SLOW(stride));
}

// ---- every other kernel -------------------------------------------------------------------------

// Operations whose CUDA kernels take some arguments from the host: indices and step counts.
const std::set<std::string> takes_host_tensors{
    "aten::index.Tensor",         "aten::index_put_",         "aten::_index_put_impl_",
    "aten::_foreach_add_.Tensor", "aten::_fused_adamw_",      "aten::_fused_adamw_.tensor_lr",
    "aten::_copy_from",
};

// Operations whose CUDA kernels wait, since the size of their result depends on values.
const std::set<std::string> waits{"aten::nonzero", "aten::masked_select", "aten::_unique2",
                                  "aten::unique_consecutive"};

bool stays_behind(const Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() && tensor.dim() > 0;
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  auto name = c10::toString(op.schema().operator_name());
  auto n = op.schema().arguments().size();
  auto first = stack->size() - n;
  bool mixed = false, masks = false;
  for (size_t i = 0; i < n; i++) {
    const auto& value = (*stack)[first + i];
    if (value.isTensor()) mixed |= stays_behind(value.toTensor());
    if (value.isTensorList()) {
      for (const Tensor& one : value.toTensorVector()) mixed |= stays_behind(one);
    }
    if (value.isOptionalTensorList()) {
      for (const auto& one : value.toOptionalTensorVector()) {
        masks |= one && one->defined() && on_device(*one) && one->scalar_type() == at::kBool;
      }
    }
  }
  TORCH_CHECK(!mixed || takes_host_tensors.count(name),
              "Expected all tensors to be on the same device, but found cpu and standin in ", name);
  count("op " + name);
  if (masks || waits.count(name)) count("wait: " + name);
  if (failing > 0 && --failing == 0) {
    // The words of CUDA, whose errors come back at every later call.
    failing = 1;
    TORCH_CHECK(false, "CUDA error: device-side assert triggered (stand-in)");
  }
  bool outer = emulating;
  emulating = true;
  auto leave = c10::make_scope_exit([outer] { emulating = outer; });
  // A GPU counts integers in bins, the host's memory only floats.
  bool counts_integers = name == "aten::histc" && !(*stack)[first].toTensor().is_floating_point();
  auto kind = counts_integers ? (*stack)[first].toTensor().scalar_type() : at::kFloat;
  if (counts_integers) (*stack)[first] = (*stack)[first].toTensor().to(at::kFloat);
  at::native::cpu_fallback(op, stack, /*error_on_views=*/false);
  if (counts_integers) stack->back() = stack->back().toTensor().to(kind);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
  library.impl("as_strided", &as_strided);
  library.impl("view", &view);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("_reshape_alias", &reshape_alias);
}

// CUDA's autocast: the lists are PyTorch's own.
using namespace at::autocast;

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {  // the lists' macros want this name
#define STANDIN_LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(STANDIN_LOWER)
#define STANDIN_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
  AT_FORALL_FP32(STANDIN_FP32)
#define STANDIN_FP32_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(STANDIN_FP32_DTYPE)
}

// ---- what the tests ask, through ctypes ---------------------------------------------------------

extern "C" {

void standin_install() { at::RegisterPrivateUse1HooksInterface(&hooks); }

// Lines of "count<TAB>event"; valid until the next call.
const char* standin_counts() {
  static std::string text;
  std::lock_guard<std::mutex> guard(mutex);
  std::ostringstream lines;
  for (const auto& [event, times] : counted) lines << times << '\t' << event << '\n';
  text = lines.str();
  return text.c_str();
}

void standin_clear() {
  std::lock_guard<std::mutex> guard(mutex);
  counted.clear();
}

long standin_allocated() { return allocated; }
long standin_peak() { return peak; }
void standin_reset_peak() { peak = allocated.load(); }
void standin_set_limit(long bytes) { limit = bytes; }

// From the n-th operation on, every operation fails as after a device-side assert; 0: none does.
void standin_fail_from(long n) { failing = n; }
}
