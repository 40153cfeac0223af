"""English and Chinese on the page.

Three ways lead from a `Text` to the reader. Component texts go through `Words.marker`, which makes a `gr.I18n` key that
the browser translates. HTML and toasts are made on the server with `Text.to(language_of(request))`. Gradio's own words
("Drop File Here") follow `navigator.language`, which the script of `head_script` sets before Gradio reads it; no supported
way exists to switch them at run time, so the switch sets a cookie and reloads the page. The cookie is what makes browser
and server agree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from workbench.config.text import LANGUAGES, Text
from workbench.ui.asgi import cookie

COOKIE = "lang"
PAGE_TITLE = Text("Fine-tuning workbench", "微调工作台")

# What Gradio says to screen readers and in tooltips in English only, whatever the page's language.
BUILT_IN = {
    "Cancel": "取消",
    "Clear": "清空",
    "Click to upload or drop files": "点击上传或拖入文件",
    "Close": "关闭",
    "Copied": "已复制",
    "Copied message": "已复制消息",
    "Copy": "复制",
    "Copy message": "复制消息",
    "Dismiss": "关闭",
    "Download": "下载",
    "Options": "选项",
    "Remove this file": "移除此文件",
    "Reset to default value": "恢复默认值",
    "Stop": "停止",
    "Submit": "提交",
    "Upload a file": "上传文件",
    "Upload file": "上传文件",
    "Uploaded files": "已上传的文件",
    "Uploading": "正在上传",
    "Error": "操作未成功",  # titles of the messages in the corner; the ones that handlers give are not shown
    "Info": "提示",
    "Success": "完成",
    "Warning": "请注意",
    "chatbot conversation": "对话",
    "number input for ": "数值输入：",
    "range slider for ": "滑块：",
}

# Gradio's own messages that stand in the corner in English, whatever the page's language.
MESSAGES = {
    "Connection to the server was lost. Attempting reconnection...": Text(
        "The workbench does not answer. If it was closed, start it again with python app.py; this page comes back by itself.",
        "工作台没有响应。如果它已关闭，请用 python app.py 重新启动；恢复后本页会自动刷新。",
    ),
}

# Gradio's own keys for what screen readers hear while the page is at work; it has no words for them, in one language or
# in both, and would read the key aloud.
ANNOUNCED = {
    "common.complete": Text("Done", "完成"),
    "status.queue_position": Text("In queue: {position} of {size}", "排队中：第 {position} 个，共 {size} 个"),
}


class Words:
    """Collects every text of the page's components; `i18n` is what `launch` gets."""

    def __init__(self) -> None:
        spoken = {lang: {key: text.to(lang) for key, text in ANNOUNCED.items()} for lang in LANGUAGES}
        self.i18n = gr.I18n(**spoken)

    def marker(self, text: Text) -> Any:
        """What a component takes as label, info, placeholder, button or Markdown text."""
        words = {lang: text.to(lang) for lang in LANGUAGES}
        if words["en"] == words["zh"]:
            return words["en"]
        key = "t_" + hashlib.sha1("\x1f".join(words.values()).encode(), usedforsecurity=False).hexdigest()[:16]
        for lang, word in words.items():
            self.i18n.translations[lang][key] = word  # shown as it is: no message format is applied
        return self.i18n(key)


def language_of(request: gr.Request | None, default: str = "en") -> str:
    """ "en" or "zh": the cookie of the language switch, else what the browser prefers, else `default`."""
    return language_asked(getattr(request, "headers", None) or {}, default)


def language_asked(headers: Mapping[str, str], default: str = "en") -> str:
    """The same for a request's headers (their names in lower case)."""
    chosen = cookie(headers, COOKIE)
    if chosen in LANGUAGES:
        return chosen
    for wish in (headers.get("accept-language") or "").split(","):
        name = wish.split(";")[0].strip().lower()[:2]
        if name in LANGUAGES:
            return name
    return default


def head_script(default: str | None) -> str:
    """The script that has to run before anything of Gradio's: it fixes the page's language, and handles the switch.

    Args:
        default: "en" or "zh" for readers who have not chosen yet; None asks their browser.
    """
    settings = json.dumps(
        {
            "cookie": COOKIE,
            "default": default,
            "titles": PAGE_TITLE.as_dict(),
            "builtIn": BUILT_IN,
            "messages": {message: text.as_dict() for message, text in MESSAGES.items()},
            "patience": PATIENCE,
            "moment": MOMENT,
        }
    )
    return f"<script>({_SCRIPT})({settings});</script>"


MOMENT = 200  # milliseconds in which what was typed is surely on its way
PATIENCE = 10_000  # milliseconds after the last key in which the switch waits for what was typed

_SCRIPT = """function (settings) {
  function stored() {
    var hit = document.cookie.match(new RegExp("(?:^|; )" + settings.cookie + "=(en|zh)"));
    if (hit) return hit[1];
    try { var kept = localStorage.getItem(settings.cookie); if (kept === "en" || kept === "zh") return kept; } catch (e) {}
    return null;
  }
  function keep(lang) {
    document.cookie = settings.cookie + "=" + lang + "; path=/; max-age=31536000; SameSite=Lax";
    try { localStorage.setItem(settings.cookie, lang); } catch (e) {}
  }
  function preferred() {
    var wishes = navigator.languages || [navigator.language || "en"];
    for (var i = 0; i < wishes.length; i++) {
      var name = String(wishes[i]).slice(0, 2).toLowerCase();
      if (name === "zh" || name === "en") return name;
    }
    return "en";
  }
  var lang = stored() || settings.default || preferred();
  keep(lang);
  var code = lang === "zh" ? "zh-CN" : "en";
  Object.defineProperty(navigator, "language", { get: function () { return code; }, configurable: true });
  Object.defineProperty(navigator, "languages", { get: function () { return [code]; }, configurable: true });
  document.documentElement.lang = code;
  document.documentElement.dataset.lang = lang;
  document.title = settings.titles[lang];
  document.addEventListener("DOMContentLoaded", function () { document.title = settings.titles[lang]; });
  // What was typed a moment ago is still on its way to the browser's store: a reload would lose it.
  // What was asked for before it may write there first, so nothing may be on its way any more.
  var typed = 0, before = null, pending = 0, plain = window.fetch;
  window.fetch = function (input, init) {
    var reply = plain.apply(this, arguments);
    if (!init || init.method !== "POST") return reply;
    pending++;
    function over() { setTimeout(function () { pending--; }, 150); }  // the page still has to take it in
    reply.then(over, over);
    return reply;
  };
  function form() { try { return localStorage.getItem("workbench-form"); } catch (e) { return null; } }
  document.addEventListener("input", function (event) {
    if (event.target.closest("#tab-train")) { typed = Date.now(); before = form(); }
  }, true);
  function afterTyping(then) {
    if (Date.now() - typed > settings.patience || (form() !== before && pending === 0 && Date.now() - typed > settings.moment)) then();
    else setTimeout(afterTyping, 50, then);
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-set-lang]");
    if (!button || button.dataset.setLang === lang) return;
    keep(button.dataset.setLang);
    afterTyping(function () { location.reload(); });
  });
  function translate(element) {
    if (lang !== "zh") return;
    ["aria-label", "title"].forEach(function (name) {
      var said = element.getAttribute(name);
      if (!said) return;
      for (var english in settings.builtIn) {
        var open = english.slice(-1) === " " && said.indexOf(english) === 0;
        if (said === english || open) {
          element.setAttribute(name, settings.builtIn[english] + said.slice(english.length));
          return;
        }
      }
    });
  }
  new MutationObserver(function (changes) {
    changes.forEach(function (change) {
      if (change.type === "attributes") { translate(change.target); return; }
      change.addedNodes.forEach(function (node) {
        if (node.nodeType !== 1) return;
        translate(node);
        node.querySelectorAll("[aria-label], [title]").forEach(translate);
        node.querySelectorAll(".toast-title").forEach(function (title) {
          var text = title.firstChild, chinese = lang === "zh" && text && settings.builtIn[text.textContent.trim()];
          if (chinese) text.textContent = chinese;
        });
        node.querySelectorAll(".toast-message-text").forEach(function (message) {
          var ours = settings.messages[message.textContent.trim()];
          if (ours) message.textContent = ours[lang];
        });
      });
    });
  }).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["aria-label", "title"]
  });
}"""
