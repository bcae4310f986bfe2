"""Where other packages put plug-ins: modules in a folder ``mmp/plugins`` of their own, without an ``__init__.py``."""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
