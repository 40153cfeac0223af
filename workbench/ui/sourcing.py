"""The folded part of the Model tab that says where models come from, through which proxy, and with which access token."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.shell import Shell
from workbench.ui.tabtools import TOLD, panel

_SOURCE = Text("Where models come from", "模型来源")
_ENDPOINT = Text("Address of the mirror", "镜像地址")
_ENDPOINT_ABOUT = Text(
    "For a mirror only, such as https://hf-mirror.com.", "仅镜像需要填写，例如 https://hf-mirror.com。"
)
_PROXY = Text("Proxy", "代理")
_PROXY_ABOUT = Text(
    "Such as http://192.168.1.2:8080. Empty: as the environment says (HTTPS_PROXY). One with a password belongs there.",
    "例如 http://192.168.1.2:8080。留空则使用环境变量（HTTPS_PROXY）；带密码的代理请设在环境变量里。",
)
_OFFLINE = Text("Offline: ask no server", "离线：不访问任何服务器")
_OFFLINE_ABOUT = Text(
    "On: nothing is searched, downloaded or uploaded; what is here works as ever.",
    "开启后不会搜索、下载或上传；本机已有的内容照常使用。",
)
_USE_SOURCE = Text("Use and test it", "使用并测试")
_INSTALL = Text("Install what ModelScope needs", "安装 ModelScope 所需的组件")
_INSTALLING = Text(
    "Being installed: the list of jobs at the top shows how far it is. Then press “Use and test it” again.",
    "正在安装，进度见页面顶部的任务列表。完成后请再点“使用并测试”。",
)
_THROUGH = Text("{said} Through the proxy {proxy}.", "{said}经由代理 {proxy}。")
_TOKEN = Text("Access token", "访问令牌")
_TOKEN_ABOUT = Text(
    "For models that ask for it, and to upload. It stays in this program's memory until it ends; no file holds it.",
    "下载需许可的模型或上传时使用。只保存在本程序的内存中，关闭后即清除，不会写入任何文件。",
)
_USE_TOKEN = Text("Use it", "使用")
_TOKEN_KEPT = Text("The token is used until this program ends.", "令牌已启用，程序关闭后失效。")
_SOURCES = {
    "huggingface": Text("Hugging Face", "Hugging Face"),
    "mirror": Text("a mirror of Hugging Face", "Hugging Face 镜像"),
    "modelscope": Text("ModelScope", "ModelScope（魔搭）"),
}


def build(shell: Shell) -> None:
    """The fields of source and token, and what they do."""
    kinds = [(shell.text(text), kind) for kind, text in _SOURCES.items()]
    kind = gr.Dropdown(kinds, label=shell.text(_SOURCE), filterable=False, elem_id="find-kind")
    address = gr.Textbox(
        label=shell.text(_ENDPOINT), info=shell.text(_ENDPOINT_ABOUT), max_lines=1, elem_id="find-endpoint"
    )
    proxy = gr.Textbox(label=shell.text(_PROXY), info=shell.text(_PROXY_ABOUT), max_lines=1, elem_id="find-proxy")
    offline = gr.Checkbox(label=shell.text(_OFFLINE), info=shell.text(_OFFLINE_ABOUT), elem_id="find-offline")
    use = gr.Button(shell.text(_USE_SOURCE), elem_id="find-use")
    said = panel("find-source-note")
    install = gr.Button(shell.text(_INSTALL), visible=False, elem_id="find-install")
    token = gr.Textbox(
        label=shell.text(_TOKEN), info=shell.text(_TOKEN_ABOUT), type="password", max_lines=1, elem_id="find-token"
    )
    keep = gr.Button(shell.text(_USE_TOKEN), elem_id="find-token-use")
    kept = panel("find-token-note")

    def now() -> Any:
        source = shell.engine.source()
        return source.kind, source.endpoint if source.kind == "mirror" else "", source.proxy, source.offline

    def choose(chosen: str, endpoint: str, through: str, alone: bool, request: gr.Request) -> Any:
        reached = shell.engine.choose_source(chosen, endpoint, offline=alone, proxy=through)
        words, used = reached.text, shell.engine.source().proxy_used
        if used and not alone:
            words = _THROUGH.with_(said=words, proxy=used)
        return html.note(words.to(shell.lang(request))), gr.Button(visible=reached.code == "missing_package")

    def get(request: gr.Request) -> Any:
        shell.engine.start("install", {"extra": "modelscope"})
        return html.note(_INSTALLING.to(shell.lang(request))), gr.Button(visible=False)

    def take(given: str, request: gr.Request) -> Any:
        shell.engine.use_token(given)
        return "", html.note(_TOKEN_KEPT.to(shell.lang(request)))  # what was typed leaves the page

    fields = [kind, address, proxy, offline]
    shell.on_load(now, outputs=fields)
    use.click(shell.safe(choose), fields, [said, install], **TOLD)
    install.click(shell.safe(get), None, [said, install], **TOLD)
    keep.click(shell.safe(take), token, [token, kept], **TOLD)
