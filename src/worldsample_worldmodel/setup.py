from setuptools import find_packages, setup

package_name = "worldsample_worldmodel"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "safetensors", "torch"],
    extras_require={"test": ["pytest"]},  # colcon test then calls pytest
    zip_safe=True,
    maintainer="WorldSample",
    maintainer_email="worldsample@example.org",
    description="Dual-view video world model, counterfactual segments and reward model of WorldSample.",
    license="Apache-2.0",
    entry_points={
        "worldsample.success_detectors": [
            "reward_model = worldsample_worldmodel.success_detection:make",
        ],
        "console_scripts": [
            "worldmodel_node = worldsample_worldmodel.worldmodel_node:main",
        ],
    },
)
