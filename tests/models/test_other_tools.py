"""Libraries that put something around modules, or keep their weights elsewhere: the model gives what it gave."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import perceiver_pytorch as P
from small_models import CLASSES, build, inputs, perceiver_io

PARTS = ("Attention", "AttentionBlock", "CrossAttend", "to_kv", "PerceiverLayer", "SingleBlockLayer", "IOLayer")


def model_of(name: str) -> nn.Module:
    if name == "PerceiverIO":
        return perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)])
    return build(name)


def batch_of(name: str) -> object:
    return inputs("MultiModalityPerceiver" if name == "PerceiverIO" else name)


def parts(model: nn.Module, kind: str) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of a class, or of a name."""
    for name, module in model.named_modules():
        if kind in (type(module).__name__, name.rpartition(".")[2]):
            yield name, module


def gradients(model: nn.Module, batch: object) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    output = model(batch)
    output.square().sum().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert None not in grads.values()
    return output.detach(), {n: g.full_tensor() if hasattr(g, "full_tensor") else g for n, g in grads.items()}


def _shard(store: str) -> None:
    """Each kind of part alone is sharded, in either of PyTorch's ways."""
    from torch import distributed
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    kinds = PARTS if hasattr(torch.compiler, "is_exporting") else ()  # PyTorch 2.6 shards so on GPUs alone
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
    warnings.simplefilter("ignore")  # PyTorch's own, about a single process
    for name in ("Perceiver", "MultiModalityPerceiver", "PerceiverIO"):
        batch = batch_of(name)
        expected, wanted = gradients(model_of(name), batch)
        for kind in kinds:
            model = model_of(name)
            for _, part in parts(model, kind):
                fully_shard(part, mesh=mesh)
            output, found = gradients(model, batch)
            torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4, msg=f"{name}, {kind}")
            for key, grad in wanted.items():
                torch.testing.assert_close(found[key], grad, rtol=1e-3, atol=1e-4, msg=f"{name}, {kind}: {key}")
        for kind in PARTS:
            model = model_of(name)
            for key, part in list(parts(model, kind)):
                wrapped = FullyShardedDataParallel(part, device_id=torch.device("cpu"), use_orig_params=True)
                model.set_submodule(key, wrapped)
            torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-4, msg=f"{name}, {kind}, wrapped")
    distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_parts_sharded_alone(tmp_path: Path) -> None:
    helpers = str(Path(__file__).parents[1])
    environment = {
        **os.environ,
        "PERCEIVER_SHAPE_CHECKS": "0",
        "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{helpers}",
    }
    command = [sys.executable, str(Path(__file__)), str(tmp_path / "store")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [*CLASSES, "PerceiverIO"])
def test_weights_kept_elsewhere(name: str) -> None:
    """accelerate puts a module's weights in place when it is called, and takes them away afterwards."""
    accelerate = pytest.importorskip("accelerate")
    model, batch = model_of(name).eval(), batch_of(name)
    with torch.no_grad():
        expected = model(batch)
        if name.startswith("Hierarchical"):
            accelerate.cpu_offload(model, execution_device="cpu")
            with pytest.raises(TypeError, match=r"latents must be whole.* accelerate: preload_module_classes with"):
                model(batch)
            model = model_of(name).eval()
        accelerate.cpu_offload(
            model, execution_device="cpu", preload_module_classes=[type(model).__name__] * name.startswith("H")
        )
        torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-5)


def test_a_tied_embedding_kept_elsewhere_says_what_to_do() -> None:
    accelerate = pytest.importorskip("accelerate")
    sizes = {"embedding_dim": 16, "num_latents": 4, "latent_dim": 16, "depth": 1, "qk_dim": 16, "v_dim": 16}
    tokens = torch.randint(6, 262, (2, 12))
    for preload in (None, ["PerceiverLM"]):
        torch.manual_seed(0)
        model = P.PerceiverLM(max_length=12, **sizes)
        expected = model(tokens)
        accelerate.cpu_offload(model, execution_device="cpu", preload_module_classes=preload)
        if preload is None:
            with pytest.raises(TypeError, match=r"embedding must be an nn.Embedding.* preload_module_classes"):
                model(tokens)
        else:
            torch.testing.assert_close(model(tokens), expected)


@pytest.mark.parametrize("name", ["Perceiver", "MultiModalityPerceiver", "PerceiverIO"])
def test_adapters_of_peft_act_and_train(name: str) -> None:
    peft = pytest.importorskip("peft")
    model, batch = model_of(name), batch_of(name)
    before = model(batch)
    layers = [
        n
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear) and not n.startswith(("to_logits", "decoder.heads"))
    ]
    config = peft.LoraConfig(r=2, target_modules=layers, init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    output = adapted(batch)
    output.square().sum().backward()
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(layers)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in trained.items() if ".to_k." not in n)
    assert not torch.allclose(output, before)
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(batch), output, rtol=1e-3, atol=1e-4)


def test_every_layer_is_seen_by_hooks_and_pruned_weights_train() -> None:
    for name in ("Perceiver", "HierarchicalMultiModalityPerceiver", "PerceiverIO"):
        model, batch, seen = model_of(name), batch_of(name), set()
        for module in model.modules():
            module.register_forward_hook(lambda m, given, output, seen=seen: seen.add(m))
        model(batch)
        own = {m for m in model.modules() if list(m.parameters(recurse=False)) and not isinstance(m, nn.ParameterList)}
        assert own <= seen
        for module in model.modules():
            if isinstance(module, nn.Linear):
                prune.l1_unstructured(module, "weight", 0.5)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            losses.append(model(batch).square().mean())
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < losses[0]


if __name__ == "__main__":
    _shard(sys.argv[1])
